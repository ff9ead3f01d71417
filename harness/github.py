"""Reads an issue or pull request from GitHub: title, body, comments. The only module that uses the network.

Three small REST requests at most, nothing else of the API, and never a write. What comes back is foreign text: it is returned as it is and
cleaned by whoever shows or searches it, but HTML comments are taken out here, because GitHub shows them to nobody.
"""

import json
import re
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from typing import Final
from urllib.parse import urlsplit

import httpx

from backstory.errors import GitHubError, UserError

API_VERSION: Final = "2026-03-10"  # the version whose shapes are read below
COMMENTS_PER_PAGE: Final = 100  # the API's own maximum
MAX_COMMENTS: Final = 200  # a longer discussion has left the fault behind; two requests
MAX_RESPONSE_BYTES: Final = 20_000_000  # 100 comments of the longest length GitHub accepts (65,536 characters) in UTF-8, rounded up
MAX_REDIRECTS: Final = 3  # an issue that moved with its repository, twice
TIMEOUT: Final = httpx.Timeout(30.0, connect=10.0)
_LOOPBACK: Final = ("127.0.0.1", "localhost", "::1")

_ISSUE_ADDRESS = re.compile(r"/(?P<owner>[\w.-]+)/(?P<name>[\w.-]+)/(?:issues|pull)/(?P<number>[1-9]\d{0,9})(?:/\w+)*/?")
_HTML_COMMENT = re.compile(r"<!--.*?(?:-->|\Z)", re.DOTALL)


@dataclass(frozen=True)
class IssueAddress:
    """Where an issue or pull request is. host: as in a browser (`github.com`, or an Enterprise Server's name)."""

    host: str
    owner: str
    name: str
    number: int

    @property
    def id(self) -> str:
        """The short name people use, `owner/name#12`."""
        return f"{self.owner}/{self.name}#{self.number}"


@dataclass(frozen=True)
class Access:
    """How the API is reached. token: sent to the API alone; api_url: overrides the API's address for every host (GITHUB_API_URL)."""

    token: str | None = None
    api_url: str | None = None


@dataclass(frozen=True)
class Comment:
    """One comment. when: ISO 8601 as GitHub gives it; author: a login, or "" for a deleted account."""

    author: str
    when: str
    body: str


@dataclass(frozen=True)
class IssuePage:
    """An issue as GitHub has it. comments: oldest first, at most MAX_COMMENTS; left_out: how many more there are."""

    address: IssueAddress
    title: str
    body: str
    comments: tuple[Comment, ...]
    left_out: int

    @property
    def text(self) -> str:
        """Body and comments as one text."""
        quoted = (f"Comment by {comment.author or 'a deleted account'}, {comment.when}:\n\n{comment.body}" for comment in self.comments)
        return "\n\n".join(part for part in (self.body, *quoted) if part.strip())


def issue_address(text: str) -> IssueAddress | None:
    """Return the address `text` consists of, or None if it is no web address of an issue or pull request.

    >>> issue_address("https://github.com/octo/cat/issues/12#issuecomment-1").id
    'octo/cat#12'
    """
    if any(character.isspace() for character in text) or not text.startswith(("https://", "http://")):
        return None
    try:
        parts = urlsplit(text)
        host, port = parts.hostname, parts.port
    except ValueError:
        return None
    found = _ISSUE_ADDRESS.fullmatch(parts.path)
    if found is None or host is None or parts.username is not None:
        return None
    return IssueAddress(host if port is None else f"{host}:{port}", found["owner"], found["name"], int(found["number"]))


class NoIssueError(GitHubError):
    """GitHub shows no such issue: it is not there, was deleted, or is not for this token."""


def fetch_issue(address: IssueAddress, access: Access) -> IssuePage:
    """Return the issue with its comments. Raises GitHubError with the remedy if GitHub cannot be reached or refuses."""
    with _session(address, access) as session:
        issue = session.issue()
        title, body, count = _text(issue.get("title")), _text(issue.get("body")), issue.get("comments")
        comments = session.comments(issue) if count else []
    total = count if isinstance(count, int) else len(comments)
    return IssuePage(address, title, visible(body), tuple(comments), max(0, total - len(comments)))


def fetch_statement(address: IssueAddress, access: Access) -> tuple[str, str] | None:
    """Return title and body of an issue as it was reported; None where there is no such issue, or its number is a pull request's.

    Raises GitHubError with the remedy if GitHub cannot be reached or refuses.
    """
    try:
        with _session(address, access) as session:
            issue = session.issue()
    except NoIssueError:
        return None
    return None if "pull_request" in issue else (_text(issue.get("title")), visible(_text(issue.get("body"))))


@contextmanager
def _session(address: IssueAddress, access: Access) -> Iterator["_Session"]:
    api = _api_url(address, access)
    headers = {"Accept": "application/vnd.github+json", "X-GitHub-Api-Version": API_VERSION, "User-Agent": "backstory"}
    if access.token and _may_have_token(address, access, api):
        headers["Authorization"] = f"Bearer {access.token}"
    loopback = api.host in _LOOPBACK
    # The environment's proxy is honoured but for an address on this machine. Redirects are followed below, never off the API's host.
    with httpx.Client(headers=headers, timeout=TIMEOUT, trust_env=not loopback, follow_redirects=False) as client:
        yield _Session(client, api, address)


@dataclass(frozen=True)
class _Answer:
    value: object
    next_page: httpx.URL | None


@dataclass(frozen=True)
class _Session:
    client: httpx.Client
    api: httpx.URL
    address: IssueAddress

    def issue(self) -> Mapping[str, object]:
        """Return the issue or pull request itself."""
        place = f"{self.api.path.rstrip('/')}/repos/{self.address.owner}/{self.address.name}/issues/{self.address.number}"
        return _table(self.get(self.api.copy_with(path=place)).value)

    def comments(self, issue: Mapping[str, object]) -> list[Comment]:
        """Return the comments of `issue`, oldest first, at most MAX_COMMENTS."""
        place = self._same_host(_text(issue.get("comments_url")))
        page: httpx.URL | None = place.copy_merge_params({"per_page": str(COMMENTS_PER_PAGE)})
        comments: list[Comment] = []
        while page is not None and len(comments) < MAX_COMMENTS:
            answer = self.get(page)
            if not isinstance(answer.value, list):
                raise self._not_understood()
            comments += [_comment(_table(row)) for row in answer.value]
            page = answer.next_page if answer.value else None
        return comments[:MAX_COMMENTS]

    def get(self, url: httpx.URL) -> _Answer:
        """Return what the API answers, following redirects on its own host."""
        for _ in range(MAX_REDIRECTS + 1):
            response = self._send(url)
            if not response.is_redirect:
                break
            url = self._same_host(str(url.join(response.headers.get("location", ""))))
        else:
            raise GitHubError(f"{self.address.id} redirects without end; check the address")
        if response.status_code != httpx.codes.OK:
            raise _refusal(self.address, response, has_token="authorization" in self.client.headers)
        try:
            value = json.loads(response.content)
        except ValueError as error:
            raise self._not_understood() from error
        following = response.links.get("next", {}).get("url")
        return _Answer(value, self._same_host(following) if following else None)

    def _send(self, url: httpx.URL) -> httpx.Response:
        try:
            with self.client.stream("GET", url) as response:
                content = b""
                for chunk in response.iter_bytes():
                    content += chunk
                    if len(content) > MAX_RESPONSE_BYTES:
                        raise GitHubError(
                            f"GitHub sent more than {MAX_RESPONSE_BYTES} bytes for {self.address.id}; save the issue to a file and pass that"
                        )
            headers = [(name, value) for name, value in response.headers.items() if name not in ("content-encoding", "content-length")]
            return httpx.Response(response.status_code, headers=headers, content=content, request=response.request)
        except (httpx.HTTPError, httpx.InvalidURL) as error:
            why = str(error) or type(error).__name__
            raise GitHubError(
                f"cannot reach {self.api.host}: {why}; check the network, or save the issue to a file and pass that"
            ) from error

    def _same_host(self, url: str) -> httpx.URL:
        """Return `url` if it is on the API's own scheme, host and port, so that the token goes nowhere else."""
        try:
            place = httpx.URL(url)
        except httpx.InvalidURL as error:
            raise self._not_understood() from error
        if (place.scheme, place.host, place.port) != (self.api.scheme, self.api.host, self.api.port):
            raise GitHubError(f"GitHub sends {self.address.id} on to another host, {place.host!r}; pass the address it moved to")
        return place

    def _not_understood(self) -> GitHubError:
        return GitHubError(f"{self.api.host} answered for {self.address.id} with something that is not GitHub's API; check GITHUB_API_URL")


def _api_url(address: IssueAddress, access: Access) -> httpx.URL:
    """Return the root of the API to ask."""
    if access.api_url:
        try:
            api = httpx.URL(access.api_url)
        except httpx.InvalidURL as error:
            raise UserError(f"GITHUB_API_URL is {access.api_url!r}; give an address such as https://api.github.com") from error
    else:
        api = httpx.URL("https://api.github.com" if address.host in ("github.com", "www.github.com") else f"https://{address.host}/api/v3")
    if not api.host or not (api.scheme == "https" or (api.scheme == "http" and api.host in _LOOPBACK)):
        raise UserError(f"{str(api)!r} is not an https address; set GITHUB_API_URL to one")
    return api


def _may_have_token(address: IssueAddress, access: Access, api: httpx.URL) -> bool:
    """Return whether the user's token belongs to this API: github.com's own, or one the user named; never a host taken from an issue's address."""
    return bool(access.api_url) or api.host == "api.github.com"


def _refusal(address: IssueAddress, response: httpx.Response, *, has_token: bool) -> GitHubError:
    status = response.status_code
    wait = response.headers.get("retry-after")
    spent = response.headers.get("x-ratelimit-remaining") == "0"
    if status in (403, 429) and (wait or spent or status == 429):
        when = f"in {wait} s" if wait and wait.isdecimal() else "later"
        return GitHubError(f"GitHub's rate limit is reached; try again {when}" + ("" if has_token else ", or set GITHUB_TOKEN"))
    remedies = {
        401: "GitHub refuses the token; renew GITHUB_TOKEN or unset it",
        403: f"GitHub does not let this token read {address.id}; give GITHUB_TOKEN the permission to read issues",
        404: f"GitHub shows no {address.id}; check the address, and set GITHUB_TOKEN if the repository is private",
        410: f"{address.id} was deleted or its repository has no issues; check the address",
    }
    if status in remedies:
        return (NoIssueError if status in (404, 410) else GitHubError)(remedies[status])
    return GitHubError(f"GitHub answers {status} for {address.id}; try again later, or save the issue to a file and pass that")


def _comment(row: Mapping[str, object]) -> Comment:
    user = row.get("user")
    author = _text(user.get("login")) if isinstance(user, dict) else ""
    return Comment(author, _text(row.get("created_at")), visible(_text(row.get("body"))))


def _table(value: object) -> Mapping[str, object]:
    if not isinstance(value, dict):
        raise GitHubError("GitHub answered with a shape its API does not have; check GITHUB_API_URL")
    return value


def _text(value: object) -> str:
    return value if isinstance(value, str) else ""


def visible(text: str) -> str:
    """Return Markdown as GitHub shows it: without HTML comments, which templates are full of and which can hide words from a reader."""
    return _HTML_COMMENT.sub("", text)
