/** The compiled command `doctor` with a configuration. Without the addon, no node is opened. */
import assert from 'node:assert/strict';
import { mkdirSync, mkdtempSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import type { Finding } from '../../../src/doctor/finding.js';
import { run } from './support/run.js';

const NO_ADDON = { VMB_ADDON: '/nonexistent/virtio_media_bridge.node' };

describe('command doctor', function () {
  this.timeout(120_000);
  let folder: string;
  before(() => {
    folder = mkdtempSync(join(tmpdir(), 'vmb-doctor-'));
  });
  after(() => rmSync(folder, { recursive: true }));

  const text = `vms:
  desk:
    shm-size: 256M
    nodes:
      - device: /dev/deskcam
        socket-path: ${join('FOLDER', 'a.sock')}
      - device: /dev/video250
        socket-path: /nonexistent/b.sock
        max-sessions: 4
`;
  /** The findings about a configuration of this text. */
  const findingsOf = (name: string, yaml: string | null, env: NodeJS.ProcessEnv = {}) => {
    const file = join(folder, name);
    if (yaml !== null) writeFileSync(file, yaml.replace('FOLDER', folder));
    const { status, stdout, stderr } = run(['doctor', file, '--json'], env);
    assert.equal(stderr, '');
    return { file, status, findings: JSON.parse(stdout) as Finding[] };
  };
  const failures = (findings: readonly Finding[]) => findings.filter(({ state }) => state === 'failure');

  it('looks at the sockets and limits of each node, also without an addon', () => {
    const { file, status, findings } = findingsOf('right.yaml', text, NO_ADDON);
    assert.equal(status, 71);
    assert.deepEqual(
      failures(findings).map(({ what }) => what),
      ['addon', '/nonexistent/b.sock'],
    );
    const of = (what: string) => findings.find((each) => each.what === what)?.found;
    assert.equal(of(file), 'nothing is wrong with it; its VMs: desk');
    assert.match(of('memory files')!, /needs 256 MiB/);
    assert.match(of('descriptors needed')!, /need 452\b/);
  });

  it('a fault has its place and what was meant, and no node is looked at', () => {
    const { file, status, findings } = findingsOf(
      'wrong.yaml',
      text.replace('max-sessions', 'max-sesions'),
      NO_ADDON,
    );
    assert.equal(status, 71);
    const fault = failures(findings).find(({ what }) => what !== 'addon')!;
    assert.deepEqual(
      [fault.what, fault.found, fault.cure, fault.page],
      [
        `${file}:9:9`,
        'there is no key max-sesions',
        'did you mean max-sessions?',
        'docs/configuration.md#keys',
      ],
    );
    assert.ok(!findings.some(({ what }) => what.endsWith('.sock')));
  });

  it('a file that is not there is a configuration if it is called as one', () => {
    const { file, status, findings } = findingsOf('absent.yml', null, NO_ADDON);
    assert.equal(status, 71);
    const fault = failures(findings).find(({ what }) => what === file)!;
    assert.deepEqual([fault.found, fault.cure], ['cannot be read', 'there is no such file']);
  });

  it('a folder is neither a node nor a configuration', () => {
    mkdirSync(join(folder, 'folder'));
    const { status, stdout } = run(['doctor', join(folder, 'folder'), '--json'], NO_ADDON);
    assert.equal(status, 71);
    assert.ok(!(JSON.parse(stdout) as Finding[]).some(({ page }) => page === 'docs/configuration.md#keys'));
  });
});
