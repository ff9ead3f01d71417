"""As much of mocha as is met from outside, a runner that tells of its tests and a program that runs files: for tests that have no package registry."""

import shutil

import pytest

needs_node = pytest.mark.skipif(shutil.which("node", path="/usr/bin:/bin") is None, reason="there is no node in the system's folders")

RUNNER = """
const {EventEmitter} = require('events');

class Runner extends EventEmitter {
  constructor(suite) { super(); this.suite = suite; }
  run(done) {
    let failures = 0;
    for (const test of this.suite.tests) {
      if (!test.fn) { this.emit('pending', test); this.emit('test end', test); continue; }
      this.emit('test', test);
      try { test.fn(); this.emit('pass', test); } catch (error) { failures += 1; this.emit('fail', test, error); }
      this.emit('test end', test);
    }
    this.emit('end');
    done(failures);
  }
}
module.exports = Runner;
"""
CLI = """
const Runner = require('./lib/runner.js'), path = require('path');

const root = {title: '', tests: []};
const at = process.argv.indexOf('--fgrep'), wanted = at < 0 ? '' : process.argv.splice(at, 2)[1];
let suite = root;
global.describe = (title, fn) => { const outer = suite; suite = {title, parent: outer}; fn(); suite = outer; };
for (const file of process.argv.slice(2)) {
  global.it = (title, fn) => {
    let whole = title;
    for (let one = suite; one && one.title; one = one.parent) whole = one.title + ' ' + whole;
    if (whole.includes(wanted)) root.tests.push({title, fn, parent: suite, file: path.resolve(file)});
  };
  require(path.resolve(file));
}
new Runner(root).run(failures => process.exit(failures));
"""
