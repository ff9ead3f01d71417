"""The small programs that travel into a check: one records what was imported from where, the others what each test did.

They run in the repository's own Python (2.7 to 3.14) and beside its own pytest, or in its own Node and beside its own mocha, so they are text here,
written for all of them, and must neither print nor fail. The environment they read is that of the check. They write into a folder that lies outside the work tree, one file for each
process, one JSON object a line.
"""

RESULTS_VARIABLE = "BACKSTORY_RESULTS"
NAMES_FILE = "names.txt"
PLUGIN = "backstory_results"
SYMPY_RECORDER = "backstory_sympy"
MOCHA_RECORDER = "backstory_mocha.js"

# Imported by every Python that respects PYTHONPATH. Another `sitecustomize` further down the path still runs.
SITECUSTOMIZE = '''
import atexit, json, os, sys
from os import environ

def _here():
    return os.path.dirname(os.path.abspath(__file__))

def _names():
    with open(os.path.join(_here(), "names.txt")) as file:
        return set(file.read().split())

def _record(folder=environ.get("BACKSTORY_RESULTS"), names=_names(), pid=None):
    """Write where each module of interest was loaded from."""
    try:
        seen = {}
        for name, module in list(sys.modules.items()):
            if name.partition(".")[0] in names:
                file = getattr(module, "__file__", None)
                if isinstance(file, str):
                    seen[name] = file[:-1] if file.endswith((".pyc", ".pyo")) else file
        if folder and seen:
            with open(os.path.join(folder, "modules-%d.jsonl" % os.getpid()), "a") as file:
                file.write(json.dumps(seen) + "\\n")
    except Exception:
        pass

def _chain():
    """Import the sitecustomize that ours hides."""
    here = _here()
    ours = sys.modules.pop("sitecustomize", None)
    hidden = [(index, entry) for index, entry in enumerate(sys.path) if os.path.abspath(entry or os.curdir) == here]
    for _, entry in hidden:
        sys.path.remove(entry)
    try:
        import sitecustomize
    except ImportError:
        if ours is not None:
            sys.modules["sitecustomize"] = ours
    finally:
        for index, entry in hidden:
            sys.path.insert(index, entry)

if environ.get("BACKSTORY_RESULTS"):
    atexit.register(_record)
    # Set here and not by the caller: a Python that ignores PYTHONPATH could not import the plugin and would fail for it.
    environ.setdefault("PYTEST_PLUGINS", "")
    _plugins = [name for name in environ["PYTEST_PLUGINS"].split(",") if name]
    if "backstory_results" not in _plugins:
        environ["PYTEST_PLUGINS"] = ",".join(_plugins + ["backstory_results"])
    if os.path.exists(os.path.join(_here(), "backstory_sympy.py")):
        try:
            import backstory_sympy
        except Exception:
            pass
sys.modules.setdefault("backstory_record", type(sys)("backstory_record")).record = _record
_chain()
'''

# A pytest plugin. A session inside a session (a test of pytest itself, a worker of xdist) records nothing.
RESULTS_PLUGIN = """
import json, os, sys
from os import environ

import pytest

_MARK = "BACKSTORY_SESSION"
_wrapper = pytest.hookimpl(hookwrapper=True) if hasattr(pytest, "hookimpl") else pytest.mark.hookwrapper


@_wrapper
def pytest_runtest_makereport(item, call):
    outcome = yield
    if call.excinfo is not None:
        try:
            outcome.get_result().backstory_type = str(call.excinfo.typename)
        except Exception:
            pass


def pytest_configure(config):
    folder = environ.get("BACKSTORY_RESULTS")
    worker = hasattr(config, "workerinput") or hasattr(config, "slaveinput")
    if not folder or worker or environ.get(_MARK):
        return
    try:
        file = open(os.path.join(folder, "pytest-%d.jsonl" % os.getpid()), "a")
    except Exception:
        return
    environ[_MARK] = str(os.getpid())
    config.pluginmanager.register(_Recorder(config, file), "backstory-recorder")


class _Recorder(object):
    def __init__(self, config, file):
        self.config, self.file = config, file
        self.write(event="begin", root=str(getattr(config, "rootdir", "")))

    def write(self, **line):
        try:
            self.file.write(json.dumps(line, sort_keys=True) + "\\n")
            self.file.flush()
        except Exception:
            pass

    def record_modules(self):
        record = getattr(sys.modules.get("backstory_record"), "record", None)
        if record is not None:
            record()

    def pytest_runtest_logstart(self, nodeid):
        self.write(event="start", id=nodeid)

    def pytest_runtest_logreport(self, report):
        message = ""
        if report.outcome == "failed":
            crash = getattr(report.longrepr, "reprcrash", None)
            message = str(getattr(crash, "message", None) or report.longrepr or "")[:2000]
        self.write(
            event="report", id=report.nodeid, when=report.when, outcome=report.outcome, message=message,
            type=getattr(report, "backstory_type", None),
            expected=report.outcome == "skipped" and hasattr(report, "wasxfail"),
        )

    def pytest_collectreport(self, report):
        if report.outcome == "failed":
            self.write(event="collect", id=report.nodeid, message=str(report.longrepr or "")[-2000:])

    def pytest_collection_finish(self, session):
        self.record_modules()
        self.write(event="collected", count=len(session.items))

    def pytest_sessionfinish(self, session, exitstatus):
        self.record_modules()
        self.write(event="finish", status=int(exitstatus))

    def pytest_unconfigure(self, config):
        environ.pop(_MARK, None)
        self.file.close()
"""

# What sympy's own runner did, in the form of the plugin's records. The runner is a module of the tree under judgement, so it is met when it is imported.
SYMPY_RECORDER_PROGRAM = """
import json, os, sys
from os import environ

_MODULES = ("sympy.testing.runtests", "sympy.utilities.runtests")


class _Finder(object):
    def find_spec(self, name, path=None, target=None):
        if name not in _MODULES:
            return None
        from importlib.util import find_spec

        sys.meta_path.remove(self)
        try:
            spec = find_spec(name)
        finally:
            sys.meta_path.insert(0, self)
        if spec is None or spec.loader is None:
            return spec
        load = spec.loader.exec_module

        def exec_module(module):
            load(module)
            try:
                _attach(module)
            except Exception:
                pass

        spec.loader.exec_module = exec_module
        return spec


def _attach(module):
    reporter = getattr(module, "PyTestReporter", None)
    folder = environ.get("BACKSTORY_RESULTS")
    if reporter is None or not folder or reporter.__module__ != module.__name__:
        return
    file = open(os.path.join(folder, "pytest-sympy-%d.jsonl" % os.getpid()), "a")
    here = os.getcwd()
    now = {"file": "", "test": ""}

    def write(**line):
        try:
            file.write(json.dumps(line, sort_keys=True) + "\\n")
            file.flush()
        except Exception:
            pass

    def ended(outcome, expected=False, message="", type=None):
        write(event="report", id=now["test"], when="call", outcome=outcome, expected=expected, message=message[:2000], type=type)
        write(event="report", id=now["test"], when="teardown", outcome="passed")

    def raised(exc_info):
        return str(exc_info[1]), exc_info[0].__name__

    def start(self, *_, **__):
        write(event="begin", root=here)

    def entering_filename(self, filename, *_):
        now["file"] = os.path.relpath(filename, here)

    def entering_test(self, function):
        now["test"] = now["file"] + "::" + function.__name__
        write(event="start", id=now["test"])

    def failed(self, exc_info):
        ended("failed", False, *raised(exc_info))

    def import_error(self, filename, exc_info):
        message, kind = raised(exc_info)
        write(event="collect", id=os.path.relpath(filename, here), message=kind + ": " + message)

    before = {
        "start": start,
        "entering_filename": entering_filename,
        "entering_test": entering_test,
        "test_pass": lambda self, *_: ended("passed"),
        "test_skip": lambda self, *_: ended("skipped"),
        "test_xfail": lambda self, *_: ended("skipped", True),
        "test_xpass": lambda self, *_: ended("passed"),
        "test_fail": failed,
        "test_exception": failed,
        "import_error": import_error,
    }

    def wrap(name, record):
        method = getattr(reporter, name)

        def wrapped(self, *arguments, **named):
            try:
                record(self, *arguments, **named)
            except Exception:
                pass
            return method(self, *arguments, **named)

        setattr(reporter, name, wrapped)

    for name, record in before.items():
        if hasattr(reporter, name):
            wrap(name, record)
    finish = reporter.finish

    def finished(self, *arguments, **named):
        good = finish(self, *arguments, **named)
        record = getattr(sys.modules.get("backstory_record"), "record", None)
        if record is not None:
            record()
        write(event="finish", status=0 if good else 1)
        return good

    reporter.finish = finished


sys.meta_path.insert(0, _Finder())
"""

# What mocha did, in the form of the plugin's records. Node loads it first (NODE_OPTIONS); mocha's runner is met when it is loaded. A mocha that a test
# starts records nothing.
MOCHA_RECORDER_PROGRAM = r"""
'use strict';
(function () {
  var folder = process.env.BACKSTORY_RESULTS;
  if (!folder || process.env.BACKSTORY_SESSION) return;
  var fs = require('fs'), path = require('path'), extensions = require('module')._extensions;
  var load = extensions['.js'], here = process.cwd();

  extensions['.js'] = function (module, filename) {
    var result = load.apply(this, arguments);
    try {
      if (/[\\/]mocha[\\/]lib[\\/](?:nodejs[\\/]parallel-buffered-)?runner\.js$/.test(filename)) attach(module.exports);
    } catch (error) {}
    return result;
  };

  function attach(Runner) {
    if (!Object.prototype.hasOwnProperty.call(Runner.prototype, 'run')) return;
    var run = Runner.prototype.run;
    Runner.prototype.run = function () {
      if (!process.env.BACKSTORY_SESSION) try { listen(this); } catch (error) {}
      return run.apply(this, arguments);
    };
  }

  function listen(runner) {
    var file = fs.openSync(path.join(folder, 'pytest-mocha-' + process.pid + '.jsonl'), 'a'), failures = 0;
    process.env.BACKSTORY_SESSION = String(process.pid);
    function write(line) {
      try { fs.writeSync(file, JSON.stringify(line) + '\n'); } catch (error) {}
    }
    function named(test) {
      var titles = [], place = test.file;
      for (var one = test; one; one = one.parent) {
        if (one.title) titles.unshift(String(one.title).replace(/\s+/g, ' ').trim());
        place = place || one.file;
      }
      return (place ? [path.relative(here, place).split(path.sep).join('/')] : []).concat(titles).join('::');
    }
    function ended(test, when, outcome, error) {
      var kind = error && (error.name || (error.constructor && error.constructor.name));
      var message = error ? (kind ? kind + ': ' : '') + String(error.message || error) : '';
      write({event: 'report', id: named(test), when: when, outcome: outcome, message: message.slice(0, 2000), type: kind ? String(kind) : null});
    }
    write({event: 'begin', root: here});
    runner.on('test', function (test) { write({event: 'start', id: named(test)}); });
    runner.on('pass', function (test) { ended(test, 'call', 'passed'); });
    runner.on('pending', function (test) { ended(test, 'call', 'skipped'); });
    runner.on('fail', function (test, error) {
      failures += 1;
      ended(test, test.type === 'hook' ? 'setup' : 'call', 'failed', error);
    });
    runner.on('test end', function (test) { ended(test, 'teardown', 'passed'); });
    runner.on('end', function () { write({event: 'finish', status: failures ? 1 : 0}); });
  }
})();
"""
