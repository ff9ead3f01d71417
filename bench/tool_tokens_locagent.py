"""Answers the questions with LocAgent's own tools. Run by `tool_tokens.py` with LocAgent's interpreter; nothing of LocAgent is here.

    LOCAGENT_PYTHON bench/tool_tokens_locagent.py CHECKOUT REPOSITORY TREE KEPT

CHECKOUT: of github.com/gersteinlab/LocAgent. REPOSITORY: owner/name. TREE: its files at the commit of the questions. KEPT: a folder for its graphs.
Prints one JSON object: for each question's number its answer and the CPU seconds it took. What their modules import and no tool uses is left out.
"""

import json
import os
import pickle
import sys
import time
import types
from pathlib import Path

from tool_questions import QUESTIONS

UNUSED = {"datasets": "load_dataset", "llama_index.embeddings": "embeddings", "llama_index.embeddings.azure_openai": "AzureOpenAIEmbedding"}


def main() -> None:
    """Build or load the graph, then ask."""
    checkout, repository, tree, kept = sys.argv[1:5]
    name = repository.replace("/", "+")
    os.environ |= {"GRAPH_INDEX_DIR": f"{kept}/graphs", "BM25_INDEX_DIR": f"{kept}/bm25"}
    sys.path.insert(0, checkout)
    for module, member in UNUSED.items():
        sys.modules[module] = types.ModuleType(module)
        setattr(sys.modules[module], member, object)
    from dependency_graph import RepoDependencySearcher, RepoEntitySearcher  # type: ignore[import-not-found]
    from dependency_graph.build_graph import build_graph  # type: ignore[import-not-found]
    from plugins.location_tools.repo_ops import repo_ops  # type: ignore[import-not-found]

    stored = Path(kept) / f"{name}.pickle"
    started = time.process_time()
    if stored.exists():
        graph = pickle.loads(stored.read_bytes())
    else:
        graph = build_graph(tree, global_import=True)
        stored.write_bytes(pickle.dumps(graph))
    print(f"{repository}: graph {time.process_time() - started:.0f} CPU s", file=sys.stderr)
    searcher = RepoEntitySearcher(graph)
    repo_ops.DP_GRAPH, repo_ops.DP_GRAPH_ENTITY_SEARCHER, repo_ops.DP_GRAPH_DEPENDENCY_SEARCHER = (
        graph,
        searcher,
        RepoDependencySearcher(graph),
    )
    repo_ops.ALL_FILE, repo_ops.ALL_CLASS, repo_ops.ALL_FUNC = (
        searcher.get_all_nodes_by_type(kind) for kind in ("file", "class", "function")
    )
    repo_ops.CURRENT_ISSUE_ID, repo_ops.CURRENT_INSTANCE = name, {"instance_id": name}
    repo_ops.setup_repo = lambda **_: tree
    answers = {}
    for number, question in enumerate(QUESTIONS):
        if question.repository == repository and question.theirs is not None:
            tool, arguments = question.theirs
            started = time.process_time()
            text = getattr(repo_ops, tool)(**arguments)
            answers[number] = (text, time.process_time() - started)
    print(json.dumps(answers))


if __name__ == "__main__":
    main()
