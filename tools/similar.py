"""`similar`: past changes whose messages resemble a text, and what they touched."""

from backstory.memory.recall import recall
from backstory.tools.commits import change_row, commit_row, file_changes
from backstory.tools.page import answer, refuse
from backstory.tools.tool import Arguments, Observation, Parameter, Tool, number_argument, text_argument
from backstory.tools.view import View

LIMIT = 5
MAX_LIMIT = 20
FILES_NAMED = 4  # of one change


def similar_tool(view: View) -> Tool:
    """Return the tool over a view."""
    return Tool(
        "similar",
        "Find past changes that resemble a text, such as the issue or a symptom: the commits, and the files and symbols each touched.",
        (
            Parameter("text", "string", "what to look for, in words", required=True),
            Parameter("limit", "integer", "at most so many changes", default=LIMIT),
        ),
        "reads",
        lambda arguments: similar(view, arguments),
    )


def similar(view: View, arguments: Arguments) -> Observation:
    """Answer one call."""
    limit = number_argument(arguments, "limit", least=1, most=MAX_LIMIT) or LIMIT
    found = recall(text_argument(arguments, "text"), view.graph, limit=limit)
    if not found:
        return refuse("no past change shares a word with this text", hint="try the words of an error message, or a name")
    rows = []
    for past in found:
        files = sorted(file_changes(view, past.commit), key=lambda file: view.is_test(file.change.path))
        lines = [commit_row(view, view.graph.commit(past.commit))]
        lines += [f"  {change_row(view, file)}" for file in files[:FILES_NAMED]]
        if len(files) > FILES_NAMED:
            lines.append(f"  … {len(files) - FILES_NAMED} files more")
        rows.append("\n".join(lines))
    return answer(["past changes that resemble it, most alike first:"], rows, more=lambda n: f"({n} changes did not fit; lower limit)")
