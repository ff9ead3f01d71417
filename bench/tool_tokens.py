"""How many tokens the answers of an agent's tools take, on twenty typical questions (`tool_questions.py`), and what a call costs.

    python bench/tool_tokens.py --repos '/mirrors/{owner}+{name}/repo' --cache DIR [--locagent CHECKOUT --locagent-python PYTHON --kept DIR]

Beside ours: LocAgent's tools on LocAgent's graph of the same files, run with an interpreter that has its dependencies, and git's own output for the
questions of the past, which LocAgent cannot answer. Tokens are those of cl100k_base, from the file that litellm ships, or bytes over four where it is not
installed; the same for all. An answer counts as one when it holds what the question names.
"""

import argparse
import json
import statistics
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

from tool_questions import COMMITS, PARTS, QUESTIONS, Question

from backstory.graph.build import build_graph
from backstory.graph.source import open_source
from backstory.graph.types import Oid
from backstory.harness.instances import folder_of
from backstory.tools.look import View, look_tools
from backstory.tools.tool import read_arguments

WARM_CALLS = 5


@dataclass(frozen=True)
class Answer:
    """What one side said. cpu_s: of a warm call, the median of a few; None where it is not measured."""

    text: str
    cpu_s: float | None

    def holds(self, question: Question) -> bool:
        return all(part in self.text for part in question.must)


def main() -> int:
    """Ask everybody and print the table."""
    parser = argparse.ArgumentParser(description="Count the tokens of tools' answers.")
    parser.add_argument("--repos", required=True, help="where repositories are, for example 'DIR/{owner}+{name}/repo'")
    parser.add_argument("--cache", type=Path, required=True, help="where graphs are kept")
    parser.add_argument("--locagent", type=Path, help="a checkout of github.com/gersteinlab/LocAgent")
    parser.add_argument("--locagent-python", type=Path, help="an interpreter with its dependencies")
    parser.add_argument(
        "--locagent-repos", nargs="*", default=list(COMMITS), help="where it is asked; its graph of sympy takes a quarter of an hour"
    )
    parser.add_argument("--kept", type=Path, help="where LocAgent's graphs are kept (default: a folder that is removed)")
    parser.add_argument("--out", type=Path, help="write all answers, as Markdown")
    options = parser.parse_args()
    count, tokenizer = counter()
    ours: dict[int, Answer] = {}
    theirs: dict[int, Answer] = {}
    git: dict[int, Answer] = {}
    for repository, commit in COMMITS.items():
        path = folder_of(repository, options.repos)
        print(repository, file=sys.stderr)
        ours |= ask_ours(repository, path, Oid(commit), options.cache)
        git |= ask_git(repository, path, commit)
        if options.locagent is not None:
            with tempfile.TemporaryDirectory() as scratch:
                theirs |= ask_locagent(repository, path, commit, options, Path(scratch))
    print_table(ours, theirs, git, count, tokenizer)
    if options.out is not None:
        options.out.write_text("\n".join(pages(ours, theirs, git, count)), encoding="utf-8")
    return 0


def counter() -> tuple[Callable[[str], int], str]:
    """Return how tokens are counted, and its name."""
    try:
        from backstory.config import quiet_litellm

        quiet_litellm()
        import litellm
    except ImportError:
        return (lambda text: -(-len(text.encode()) // 4)), "bytes / 4"
    return (lambda text: len(litellm.encode(model="gpt-4", text=text))), "cl100k_base"


def ask_ours(repository: str, path: Path, commit: Oid, cache: Path) -> dict[int, Answer]:
    """Return the answers of our tools: the text of the first call, the CPU seconds of later ones."""
    graph = build_graph(open_source(path), commit, cache_dir=cache)
    tools = {tool.name: tool for tool in look_tools(View(graph))}
    found = {}
    for number, question in enumerate(QUESTIONS):
        if question.repository == repository:
            tool = tools[question.ours[0]]
            arguments = read_arguments(tool, question.ours[1])
            assert not isinstance(arguments, str), arguments
            text = tool.run(arguments).text
            times = []
            for _ in range(WARM_CALLS):
                started = time.process_time()
                assert tool.run(arguments).text == text, "an answer changed"
                times.append(time.process_time() - started)
            found[number] = Answer(text, statistics.median(times))
    graph.close()
    return found


def ask_git(repository: str, path: Path, commit: str) -> dict[int, Answer]:
    """Return what git prints for the questions of the past."""
    found = {}
    for number, question in enumerate(QUESTIONS):
        if question.repository == repository and question.git:
            verb, *rest = question.git
            arguments = [verb, *rest] if verb == "show" else [verb, commit, *rest]
            done = subprocess.run(["git", "-C", path, "--no-pager", *arguments], capture_output=True, check=True)
            found[number] = Answer(done.stdout.decode("utf-8", "replace"), None)
    return found


def ask_locagent(repository: str, path: Path, commit: str, options: argparse.Namespace, scratch: Path) -> dict[int, Answer]:
    """Return the answers of LocAgent's tools."""
    kept = options.kept or scratch / "kept"
    kept.mkdir(parents=True, exist_ok=True)
    with checked_out(path, commit, PARTS.get(repository, ()), scratch / "tree") as tree:
        script = Path(__file__).with_name("tool_tokens_locagent.py")
        command = [options.locagent_python, script, options.locagent.absolute(), repository, tree, kept.absolute()]
        done = subprocess.run(command, stdout=subprocess.PIPE, check=True, cwd=scratch)
    said = json.loads(done.stdout.splitlines()[-1])
    return {int(number): Answer(text, seconds) for number, (text, seconds) in said.items()}


@contextmanager
def checked_out(path: Path, commit: str, parts: Sequence[str], tree: Path) -> Iterator[Path]:
    """Yield a folder with the files of a commit, or of some folders of it."""
    tree.mkdir(parents=True)
    archive = subprocess.run(["git", "-C", path, "archive", commit, *parts], stdout=subprocess.PIPE, check=True)
    subprocess.run(["tar", "-x", "-C", tree], input=archive.stdout, check=True)
    yield tree


def print_table(
    ours: Mapping[int, Answer], theirs: Mapping[int, Answer], git: Mapping[int, Answer], count: Callable[[str], int], tokenizer: str
) -> None:
    """Print a row for each question, then the sums over those that both sides can be asked."""

    def cell(answer: Answer | None, question: Question) -> str:
        return "-" if answer is None else f"{count(answer.text)}{'' if answer.holds(question) else ' (misses it)'}"

    print(f"tokens ({tokenizer})\n\n| | question | ours | LocAgent | git | our CPU ms |\n|---|---|---|---|---|---|")
    for number, question in enumerate(QUESTIONS):
        answer = ours[number]
        row = [str(number + 1), question.ask, cell(answer, question), cell(theirs.get(number), question), cell(git.get(number), question)]
        print(f"| {' | '.join(row)} | {1000 * (answer.cpu_s or 0):.0f} |")
    for name, side in (("LocAgent", theirs), ("git", git)):
        if both := [number for number in ours if number in side]:
            pairs = [(count(ours[number].text), count(side[number].text)) for number in both]
            mine, others = (sum(column) for column in zip(*pairs, strict=True))
            ratio = statistics.median(one / other for one, other in pairs)
            held = [sum(answers[number].holds(QUESTIONS[number]) for number in both) for answers in (ours, side)]
            print(
                f"\nagainst {name}, {len(both)} questions: {mine} of {others} tokens, median ratio {ratio:.2f}, answered {held[0]} and {held[1]}"
            )
    tokens = [count(answer.text) for answer in ours.values()]
    warm_ms = 1000 * statistics.median(answer.cpu_s or 0 for answer in ours.values())
    print(
        f"\nall {len(ours)}: {sum(tokens)} tokens, median {statistics.median(tokens):.0f}; a warm call takes {warm_ms:.1f} ms CPU (median)"
    )


def pages(
    ours: Mapping[int, Answer], theirs: Mapping[int, Answer], git: Mapping[int, Answer], count: Callable[[str], int]
) -> Iterator[str]:
    """Yield all answers side by side."""
    for number, question in enumerate(QUESTIONS):
        yield f"## {number + 1}. {question.ask} ({question.repository})\n"
        for name, answers in (("ours", ours), ("LocAgent", theirs), ("git", git)):
            if number in answers:
                yield f"### {name}, {count(answers[number].text)} tokens\n\n~~~~\n{answers[number].text}\n~~~~\n"


if __name__ == "__main__":
    sys.exit(main())
