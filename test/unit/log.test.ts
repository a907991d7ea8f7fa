import assert from 'node:assert/strict';
import { spawnSync } from 'node:child_process';
import { fileURLToPath } from 'node:url';
import type { Fields } from '../../src/log.js';

const module = fileURLToPath(new URL('../../src/log.js', import.meta.url));

function logged(script: string): { stdout: string; stderr: string } {
  const imports = 'configureLog, errorLimited, log, warnLimited';
  const program = `import { ${imports} } from ${JSON.stringify(module)};\n${script}`;
  const { stdout, stderr } = spawnSync(process.execPath, ['--input-type=module', '-e', program], {
    encoding: 'utf8',
  });
  return { stdout, stderr };
}

/** The entries that the script logs as JSON, without their times. */
function entries(script: string): unknown[] {
  const { stderr } = logged(`configureLog('debug', 'json');\n${script}`);
  return stderr
    .trimEnd()
    .split('\n')
    .map((line) => {
      const { timestamp, ...entry } = JSON.parse(line);
      assert.match(timestamp, /^\d{4}-\d\d-\d\dT[\d:.]+Z$/);
      return entry;
    });
}

/** A name that a device gives itself: it would clear the screen and forge a line. */
const FORGED = 'Cam\u001b[2J\nERROR forged\u009b\u202e\u2028';
const CLEAN = 'Cam?[2J?ERROR forged???';

describe('log', () => {
  it('writes to stderr only, with its fields', () => {
    const { stdout, stderr } = logged(`log.info('serving', { device: '/dev/video0', sessions: 2 });`);
    assert.equal(stdout, '');
    assert.match(stderr, /^\d{4}-\d\d-\d\dT[\d:.]+Z info: serving device=\/dev\/video0 sessions=2\n$/);
  });

  it('keeps to its level and writes JSON lines on request', () => {
    const { stderr } = logged(`configureLog('warn', 'json'); log.info('no'); log.warn('yes', { a: 1 });`);
    const { level, message, a } = JSON.parse(stderr);
    assert.deepEqual({ level, message, a }, { level: 'warn', message: 'yes', a: 1 });
  });

  it('says what a guest can provoke once in a while, and how often it was silent', () => {
    const { stderr } = logged(
      `for (let i = 0; i < 1000; i++) warnLimited('t', 'again');
       const now = Date.now; Date.now = () => now() + 6000; warnLimited('t', 'again');`,
    );
    const lines = stderr.trimEnd().split('\n');
    assert.equal(lines.length, 2);
    assert.match(lines[1]!, /again suppressed=999$/);
  });

  it('cleans what others say, in the text', () => {
    const name = JSON.stringify(FORGED);
    const { stderr } = logged(
      `log.warn('a guest: ' + ${name}, { card: ${name}, list: ['a', ${name}], [${name}]: 1 });
       warnLimited(${name}, ${name}, { card: ${name} });
       log.fault(${name}, new Error(${name}), { card: ${name} });
       errorLimited('t', ${name}, ${name});`,
    );
    const lines = stderr.trimEnd().split('\n');
    assert.doesNotMatch(stderr, /[^\n\x20-\x7e]/);
    assert.equal(
      lines[0]!.slice(25),
      `warn: a guest: ${CLEAN} card=${CLEAN} list=["a","${CLEAN}"] ${CLEAN}=1`,
    );
    assert.equal(lines[1]!.slice(25), `warn: ${CLEAN} card=${CLEAN}`);
    assert.equal(lines[2]!.slice(25), `error: ${CLEAN} card=${CLEAN}`);
    assert.equal(lines[3], `Error: ${CLEAN}`);
    assert.match(lines[4]!, /^ {4}at /);
    assert.deepEqual(
      lines.slice(-2).map((line) => line.replace(/^.*?Z /, '')),
      [`error: ${CLEAN}`, CLEAN],
    );
    assert.ok(lines.slice(4, -2).every((line) => line.startsWith('    at ')));
  });

  it('cleans what others say, in JSON', () => {
    const name = JSON.stringify(FORGED);
    assert.deepEqual(entries(`log.info(${name}, { card: ${name}, list: [${name}], none: null });`), [
      { level: 'info', message: CLEAN, card: CLEAN, list: [CLEAN], none: null },
    ]);
  });

  it('loses no field of a message with a token of a format', () => {
    assert.deepEqual(entries(`log.warn('a%sb has the node 100%d', { device: '/dev/video0' });`), [
      { level: 'warn', message: 'a%sb has the node 100%d', device: '/dev/video0' },
    ]);
  });

  it('renames a field that would take the place of what every line has', () => {
    assert.deepEqual(
      entries(
        `log.info('kept', { level: 'error', message: 'lost', timestamp: 'then', stack: 'none', a: 1 });`,
      ),
      [
        {
          level: 'info',
          message: 'kept',
          level_: 'error',
          message_: 'lost',
          timestamp_: 'then',
          stack_: 'none',
          a: 1,
        },
      ],
    );
  });

  it('shows an error in a field, with its stack below the line', () => {
    const script = `log.warn('failed', { error: new TypeError('why'), n: 1 });`;
    const [{ stack, ...entry }] = entries(script) as [{ stack: string }];
    assert.deepEqual(entry, { level: 'warn', message: 'failed', error: 'TypeError: why', n: 1 });
    assert.match(stack, /^TypeError: why\n {4}at /);
    assert.match(logged(script).stderr, /warn: failed error=TypeError: why n=1\nTypeError: why\n {4}at /);
  });

  it('shows whatever else JavaScript may bring', () => {
    const script = `const circle = { n: 1n }; circle.circle = circle;
      log.info('all', { big: 1n, circle, map: new Map([['a', 1]]), symbol: Symbol('s'), none: undefined });`;
    const shown = {
      big: '1n',
      circle: '<ref *1> { n: 1n, circle: [Circular *1] }',
      map: "Map(1) { 'a' => 1 }",
      symbol: 'Symbol(s)',
    };
    assert.deepEqual(entries(script), [{ level: 'info', message: 'all', ...shown }]);
    assert.match(logged(script).stderr, /info: all big=1n circle=<ref \*1> .* none=undefined\n$/);
  });

  it('has types that forbid such fields', () => {
    const fine: Fields = {
      device: '/dev/video0',
      errno: 5,
      list: ['a', 1],
      gone: true,
      card: undefined,
      none: null,
    };
    const wrong: Fields[] = [
      // @ts-expect-error: a line has its own.
      { level: 'error' },
      // @ts-expect-error: a line has its own.
      { message: 'why' },
      // @ts-expect-error: a line has its own.
      { timestamp: 'then' },
      // @ts-expect-error: fault() logs it.
      { stack: '' },
      // @ts-expect-error: winston shows {}.
      { error: new Error('why') },
      // @ts-expect-error: winston shows {}.
      new Error('why'),
      // @ts-expect-error: JSON has no such number.
      { features: 1n },
    ];
    assert.equal(wrong.length + Object.keys(fine).length, 13);
  });
});
