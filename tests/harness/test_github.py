"""Reading issues from GitHub, against a real HTTP server on this machine."""

import socket

import pytest
from github_like import server

from backstory.errors import ExitCode, GitHubError, UserError
from backstory.harness.github import API_VERSION, MAX_COMMENTS, Access, IssueAddress, fetch_issue, fetch_statement, issue_address

ADDRESS = IssueAddress("github.com", "octo", "cat", 7)


def user(login):
    return {"login": login, "id": 1, "node_id": "U_1", "type": "User", "site_admin": False, "url": f"https://api.github.com/users/{login}"}


def issue(root, **changes):
    """An issue with every field the API's schema requires."""
    url = f"{root}/repos/octo/cat/issues/7"
    return {
        "id": 1,
        "node_id": "I_1",
        "url": url,
        "repository_url": f"{root}/repos/octo/cat",
        "labels_url": f"{url}/labels{{/name}}",
        "comments_url": f"{url}/comments",
        "events_url": f"{url}/events",
        "html_url": "https://github.com/octo/cat/issues/7",
        "number": 7,
        "state": "open",
        "title": "It breaks",
        "body": "Since 1.2 it breaks.\n<!-- template words -->\nSee `a.py`.",
        "user": user("ada"),
        "labels": [],
        "assignee": None,
        "milestone": None,
        "locked": False,
        "comments": 0,
        "closed_at": None,
        "created_at": "2026-01-01T00:00:00Z",
        "updated_at": "2026-01-01T00:00:00Z",
        **changes,
    }


def comment(root, number, body="me too"):
    """A comment with every field the API's schema requires."""
    return {
        "id": number,
        "node_id": f"C_{number}",
        "url": f"{root}/repos/octo/cat/issues/comments/{number}",
        "html_url": f"https://github.com/octo/cat/issues/7#issuecomment-{number}",
        "issue_url": f"{root}/repos/octo/cat/issues/7",
        "user": user("bob"),
        "body": body,
        "created_at": "2026-01-02T00:00:00Z",
        "updated_at": "2026-01-02T00:00:00Z",
    }


def paged(total):
    """An issue with `total` comments, in pages as GitHub gives them."""

    def answer(root, path):
        if "/comments" not in path:
            return 200, {}, issue(root, comments=total)
        page = int(path.partition("&page=")[2] or 1)
        rows = [comment(root, number) for number in range((page - 1) * 100 + 1, min(page * 100, total) + 1)]
        more = {"Link": f'<{root}/repos/octo/cat/issues/7/comments?per_page=100&page={page + 1}>; rel="next"'} if page * 100 < total else {}
        return 200, more, rows

    return answer


def test_title_body_and_comments_come_with_the_pinned_version():
    """Every page is read, the API version is named, and what GitHub hides is left out."""
    with server(paged(130)) as (root, seen):
        page = fetch_issue(ADDRESS, Access(token="secret", api_url=root))
    assert (page.title, page.body, len(page.comments), page.left_out) == ("It breaks", "Since 1.2 it breaks.\n\nSee `a.py`.", 130, 0)
    assert page.text.startswith("Since 1.2") and "Comment by bob, 2026-01-02T00:00:00Z:\n\nme too" in page.text
    assert len(seen) == 3
    for _, headers in seen:
        assert headers["X-GitHub-Api-Version"] == API_VERSION
        assert headers["Authorization"] == "Bearer secret"


def test_a_long_discussion_is_capped_and_said():
    """After the cap no more pages are asked for; what is left out is counted."""
    with server(paged(450)) as (root, seen):
        page = fetch_issue(ADDRESS, Access(api_url=root))
    assert (len(page.comments), page.left_out, len(seen)) == (MAX_COMMENTS, 450 - MAX_COMMENTS, 3)
    assert all("Authorization" not in headers for _, headers in seen)


def test_a_statement_is_what_was_reported_alone():
    """Title and body in one request; nothing for a pull request, or where there is no issue; a refusal is one."""
    with server(lambda root, _: (200, {}, issue(root, comments=3, body="a<!-- hidden -->b"))) as (root, seen):
        assert fetch_statement(ADDRESS, Access(api_url=root)) == ("It breaks", "ab")
    assert [path for path, _ in seen] == ["/repos/octo/cat/issues/7"]
    with server(lambda root, _: (200, {}, issue(root, pull_request={"url": root}))) as (root, _):
        assert fetch_statement(ADDRESS, Access(api_url=root)) is None
    for status, told in ((404, None), (410, None), (401, GitHubError)):
        with server(lambda *_, status=status: (status, {}, {"message": "no"})) as (root, _):
            if told is None:
                assert fetch_statement(ADDRESS, Access(api_url=root)) is None
            else:
                with pytest.raises(told, match="refuses the token"):
                    fetch_statement(ADDRESS, Access(api_url=root))


def test_an_issue_without_body_or_author_is_read():
    """`body` and `user` may be null."""
    with server(
        lambda root, path: (200, {}, [comment(root, 1) | {"user": None}] if "comments" in path else issue(root, body=None, comments=1))
    ) as (root, _):
        page = fetch_issue(ADDRESS, Access(api_url=root))
    assert page.body == "" and page.text.startswith("Comment by a deleted account")


@pytest.mark.parametrize(
    ("status", "headers", "said"),
    [
        (404, {}, "GitHub shows no octo/cat#7; check the address, and set GITHUB_TOKEN if the repository is private"),
        (410, {}, "octo/cat#7 was deleted or its repository has no issues; check the address"),
        (401, {}, "GitHub refuses the token; renew GITHUB_TOKEN or unset it"),
        (403, {}, "GitHub does not let this token read octo/cat#7; give GITHUB_TOKEN the permission to read issues"),
        (403, {"X-RateLimit-Remaining": "0"}, "GitHub's rate limit is reached; try again later, or set GITHUB_TOKEN"),
        (429, {"Retry-After": "60"}, "GitHub's rate limit is reached; try again in 60 s, or set GITHUB_TOKEN"),
        (502, {}, "GitHub answers 502 for octo/cat#7; try again later, or save the issue to a file and pass that"),
    ],
)
def test_a_refusal_says_what_to_do(status, headers, said):
    """Each answer of the API has its remedy and the exit code for GitHub."""
    with (
        server(lambda *_: (status, headers, {"message": "no", "documentation_url": "", "status": str(status)})) as (root, _),
        pytest.raises(GitHubError) as caught,
    ):
        fetch_issue(ADDRESS, Access(api_url=root))
    assert str(caught.value) == said and caught.value.exit_code is ExitCode.GITHUB


def test_nothing_listening_says_what_to_do():
    """Offline is an error of GitHub's kind with a way around it."""
    with socket.socket() as unused:
        unused.bind(("127.0.0.1", 0))
        port = unused.getsockname()[1]
        with pytest.raises(GitHubError, match=r"cannot reach 127.0.0.1: .*; check the network, or save the issue to a file and pass that"):
            fetch_issue(ADDRESS, Access(api_url=f"http://127.0.0.1:{port}"))


def test_a_moved_issue_is_followed_on_the_same_host_only():
    """A redirect on the API's host is followed with the token; one to elsewhere is refused, and the token stays."""

    def moved(root, path):
        return (301, {"Location": f"{root}/repositories/5/issues/7"}, {}) if "octo" in path else (200, {}, issue(root, title="Moved"))

    with server(moved) as (root, seen):
        assert fetch_issue(ADDRESS, Access(token="secret", api_url=root)).title == "Moved"
    assert len(seen) == 2
    with server(lambda *_: (200, {}, {})) as (other, asked_there), server(lambda *_: (301, {"Location": f"{other}/x"}, {})) as (root, _):
        with pytest.raises(GitHubError, match="sends octo/cat#7 on to another host"):
            fetch_issue(ADDRESS, Access(token="secret", api_url=root))
        assert asked_there == []


def test_something_else_than_the_api_is_recognised():
    """A login page or a proxy's greeting is not an issue."""
    with server(lambda *_: (200, {}, b"<html>hello</html>")) as (root, _), pytest.raises(GitHubError, match="check GITHUB_API_URL"):
        fetch_issue(ADDRESS, Access(api_url=root))
    with server(lambda *_: (200, {}, ["a list"])) as (root, _), pytest.raises(GitHubError, match="check GITHUB_API_URL"):
        fetch_issue(ADDRESS, Access(api_url=root))


def test_a_token_never_travels_in_the_clear():
    """An API that is neither https nor on this machine is refused before anything is sent."""
    with pytest.raises(UserError, match="is not an https address"):
        fetch_issue(ADDRESS, Access(token="secret", api_url="http://api.example"))


@pytest.mark.parametrize(
    ("text", "id"),
    [
        ("https://github.com/octo/cat/issues/12", "octo/cat#12"),
        ("https://github.com/octo/cat/pull/12/files", "octo/cat#12"),
        ("https://ghe.example:8443/a.b/c-d/issues/1#issuecomment-9", "a.b/c-d#1"),
        ("https://github.com/octo/cat/issues/0", None),
        ("https://github.com/octo/cat", None),
        ("https://user@github.com/octo/cat/issues/1", None),
        ("see https://github.com/octo/cat/issues/1", None),
        ("ftp://github.com/octo/cat/issues/1", None),
        ("https://[::1/octo/cat/issues/1", None),
    ],
)
def test_which_text_is_an_issues_address(text, id):
    """Issues and pull requests on any host are recognised; anything else is not an address."""
    address = issue_address(text)
    assert (address.id if address else None) == id
