import assert from 'node:assert/strict';
import { describe, it } from 'node:test';
import { createProgress, mayColour } from '../demo/progress.mjs';

function screen(properties = {}) {
  const written = [];
  return { written, write: (text) => written.push(text), ...properties };
}

describe('the progress of the demo', () => {
  it('changes one line in place on a terminal, at most ten times a second and never wider than it', () => {
    const terminal = screen({ isTTY: true, columns: 40 });
    let time = 0;
    const progress = createProgress(terminal, { env: {}, now: () => time });
    progress.show(0.25, 'searching: 12 answered, 34 denied by the rate limit');
    time = 50;
    progress.show(0.26, 'too early to be shown');
    time = 100;
    progress.show(2, 'reading');
    progress.line('searching 60 answered');
    assert.deepEqual(terminal.written, [
      '\r\u001B[2K█████░░░░░░░░░░░░░░░ searching: 12 answ',
      '\r\u001B[2K████████████████████ reading',
      '\r\u001B[2Ksearching 60 answered\n',
    ]);
  });

  it('is plain lines elsewhere', () => {
    for (const [stream, env] of [
      [screen(), {}],
      [screen({ isTTY: true }), { TERM: 'dumb' }],
    ]) {
      const progress = createProgress(stream, { env });
      progress.show(0.5, 'on the way');
      progress.line('done');
      assert.deepEqual(stream.written, ['done\n']);
    }
  });

  it('is silent once the command is ending', () => {
    const stream = screen();
    createProgress(stream, { env: {}, isQuiet: () => true }).line('done');
    assert.deepEqual(stream.written, []);
  });

  it('has colours only on a terminal whose user has not refused them', () => {
    assert.equal(mayColour({ isTTY: true }, {}), true);
    assert.equal(mayColour({ isTTY: true }, { NO_COLOR: '' }), true);
    assert.equal(mayColour({ isTTY: true }, { NO_COLOR: '1' }), false);
    assert.equal(mayColour({ isTTY: true }, { TERM: 'dumb' }), false);
    assert.equal(mayColour({}, {}), false);
  });
});
