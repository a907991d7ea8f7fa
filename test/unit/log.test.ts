import assert from 'node:assert/strict';
import { spawnSync } from 'node:child_process';
import { fileURLToPath } from 'node:url';

const module = fileURLToPath(new URL('../../src/log.js', import.meta.url));

function logged(script: string): { stdout: string; stderr: string } {
  const program = `import { configureLog, log, warnLimited } from ${JSON.stringify(module)};\n${script}`;
  const { stdout, stderr } = spawnSync(process.execPath, ['--input-type=module', '-e', program], {
    encoding: 'utf8',
  });
  return { stdout, stderr };
}

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
});
