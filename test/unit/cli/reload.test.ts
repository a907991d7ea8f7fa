/** A configuration that is read again. The daemon is a FAKE: it notes what it is told. */
import assert from 'node:assert/strict';
import { mkdtempSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import type { Changeable, Reload, ReloadReport } from '../../../src/cli/asked.js';
import { askedOf } from '../../../src/cli/configured.js';
import type { ServePair } from '../../../src/daemon.js';
import { configureLog, log } from '../../../src/log.js';

const UID = process.geteuid!();
const node = (letter: string, ...more: string[]) =>
  [`      - device: /dev/${letter}`, `socket-path: /run/${letter}.sock`, ...more].join('\n        ');
const file = (top: string, vm: string, ...nodes: string[]) =>
  `${top}\nvms:\n  desk:\n    ${vm}\n    nodes:\n${nodes.join('\n')}\n`;

class FakeDaemon implements Changeable {
  readonly told: string[] = [];
  readonly withVm = new Set<string>();
  changed = new Map<ServePair, ServePair>();
  refusal: Error | undefined;
  async add(pair: ServePair): Promise<void> {
    if (this.refusal) throw this.refusal;
    this.told.push(`add ${pair.device}`);
  }
  remove(pair: ServePair): void {
    this.told.push(`remove ${pair.device}`);
  }
  hasVmm(pair: ServePair): boolean {
    return this.withVm.has(`${pair.device}`);
  }
  change(pair: ServePair, next: ServePair): void {
    this.changed.set(pair, next);
  }
}

describe('cli/reload', () => {
  let folder: string;
  let path: string;
  let daemon: FakeDaemon;
  let reload: Reload;
  let pairs: readonly ServePair[];

  before(() => {
    folder = mkdtempSync(join(tmpdir(), 'vmb-reload-'));
    path = join(folder, 'config.yaml');
    log.silent = true;
  });
  after(() => {
    rmSync(folder, { recursive: true });
    configureLog('info', 'text');
    log.silent = false;
  });

  async function start(text: string, flags: Record<string, unknown> = {}): Promise<void> {
    writeFileSync(path, text);
    const asked = askedOf({ config: path, ...flags }, []);
    pairs = asked.options.pairs;
    daemon = new FakeDaemon();
    reload = await asked.configuration!.reloadOf(() => daemon, asked.options.pairs);
  }
  async function change(text: string): Promise<ReloadReport> {
    writeFileSync(path, text);
    return reload();
  }
  const nothing: ReloadReport = { applied: [], needsRestart: [], faults: [] };
  const both = [node('a'), node('b')];

  for (const [name, text, fault] of [
    ['no YAML', 'vms: [', /config\.yaml:1:\d+: /],
    ['a fault', file('', 'mmap: aren', node('a')), /config\.yaml:4:11: mmap must be one of/],
    [
      'what the flags refuse together',
      file('no-shm: true', 'mmap: arena', node('a')),
      /no-shm and mmap exclude/,
    ],
    [
      'a user that this host has not',
      file('', 'allow-uid: [no-such-user]', node('a')),
      /allow-uid no-such-user: there is/,
    ],
    [
      'another VM in the place of the one that is asked for',
      file('', '', node('a')).replace('desk', 'door'),
      /has no VM desk/,
    ],
  ] as const)
    it(`a broken file changes nothing, and says why: ${name}`, async () => {
      await start(file('log-level: info', '', ...both), { vm: ['desk'] });
      const { applied, needsRestart, faults } = await change(text);
      assert.deepEqual([applied, needsRestart, daemon.told, [...daemon.changed]], [[], [], [], []]);
      assert.match(faults.join('\n'), fault);
      assert.equal(log.level, 'info');
    });

  it('a file that is gone changes nothing', async () => {
    await start(file('', '', ...both));
    rmSync(path);
    const { faults } = await reload();
    assert.match(faults.join(), /cannot be read: there is no such file/);
    assert.deepEqual(daemon.told, []);
  });

  it('the same file again changes nothing', async () => {
    await start(file('', '', ...both));
    assert.deepEqual(await reload(), nothing);
    assert.deepEqual(daemon.told, []);
  });

  it('the log changes at once', async () => {
    await start(file('', '', ...both));
    const report = await change(file('log-level: debug', '', ...both));
    assert.deepEqual(report, { ...nothing, applied: ['log-level'] });
    assert.equal(log.level, 'debug');
  });

  it('says when a change of a node holds, and gives the daemon the pair with its socket and device', async () => {
    await start(file('', '', ...both));
    const more = ['card: Desk', 'max-sessions: 3', 'shm-size: 64M'];
    const report = await change(file('', `allow-uid: [${UID}]`, node('a', ...more), node('b')));
    assert.deepEqual(report, {
      ...nothing,
      applied: [
        'desk: allow-uid (for new connections)',
        'desk: /dev/a: card (for the next VM)',
        'desk: /dev/a: shm-size (for the next VM)',
        'desk: /dev/a: max-sessions (for new sessions)',
      ],
    });
    const next = daemon.changed.get(pairs[0]!)!;
    assert.deepEqual([next.device, next.socket, next.card], ['/dev/a', pairs[0]!.socket, 'Desk']);
    assert.deepEqual([next.own?.policy?.maxSessions, next.own?.sharedMemorySize], [3, 64 << 20]);
    assert.deepEqual(next.own?.allowUids, [UID]);
    assert.equal(daemon.changed.get(pairs[1]!)?.own?.policy?.maxSessions, 128);
  });

  it('names what needs a restart, once for each reload, until the file has the old value again', async () => {
    await start(file('', '', ...both));
    const changed = file('user: root', 'objects: true', node('a', 'requests: off'), node('b'));
    const needsRestart = ['user', 'desk: objects', 'desk: /dev/a: requests'];
    assert.deepEqual(await change(changed), { ...nothing, needsRestart });
    assert.deepEqual(await reload(), { ...nothing, needsRestart });
    assert.equal(daemon.changed.get(pairs[0]!)?.own?.objects, false);
    assert.deepEqual(await change(file('', '', ...both)), nothing);
  });

  it('serves a node that was added, and no longer one that was removed; a VM that has it keeps it', async () => {
    await start(file('', '', ...both));
    daemon.withVm.add('/dev/b');
    assert.deepEqual(await change(file('', '', node('c'))), {
      ...nothing,
      applied: [
        'desk: /dev/a: not served any more',
        'desk: /dev/b: not served any more when its VM has left',
        'desk: /dev/c: served',
      ],
    });
    assert.deepEqual(daemon.told, ['remove /dev/a', 'remove /dev/b', 'add /dev/c']);
    assert.deepEqual(await reload(), nothing);
  });

  it('a node that cannot be served is a fault, and is tried again at the next reload', async () => {
    await start(file('', '', node('a')));
    daemon.refusal = new Error('/dev/b cannot be opened: ENOENT.');
    const report = await change(file('log-level: warn', '', ...both));
    assert.deepEqual(report.faults, ['desk: /dev/b: /dev/b cannot be opened: ENOENT']);
    assert.deepEqual(report.applied, ['log-level']);
    daemon.refusal = undefined;
    assert.deepEqual((await reload()).applied, ['desk: /dev/b: served']);
  });

  it('a flag goes before the file then too', async () => {
    await start(file('', '', node('a')), { 'log-level': 'error', 'max-sessions': '5' });
    assert.deepEqual(await change(file('log-level: debug', 'max-sessions: 7', node('a'))), nothing);
    assert.equal(daemon.changed.get(pairs[0]!)?.own?.policy?.maxSessions, 5);
  });

  it('nodes of the command line stay', async () => {
    const flags = { device: ['/dev/x'], 'socket-path': ['/run/x.sock'] };
    await start(file('', '', node('a')), flags);
    assert.deepEqual(
      pairs.map(({ device }) => device),
      ['/dev/x'],
    );
    assert.deepEqual(await change(file('', 'mmap: direct', node('b'))), {
      ...nothing,
      applied: ['desk: /dev/x: mmap (for the next VM)'],
    });
  });

  it('one reload comes after the other', async () => {
    await start(file('', '', node('a')));
    writeFileSync(path, file('', '', ...both));
    const reports = await Promise.all([reload(), reload()]);
    assert.deepEqual(
      reports.map(({ applied }) => applied.length),
      [1, 0],
    );
  });

  it('sockets that systemd passed stay, and a node more or less needs a restart', async () => {
    const bare = (letter: string) => `      - device: /dev/${letter}`;
    writeFileSync(path, file('', '', bare('a'), bare('b')));
    const asked = askedOf({ config: path }, [7, 8]);
    assert.deepEqual(
      asked.options.pairs.map(({ socket }) => socket),
      [{ listeningFd: 7 }, { listeningFd: 8 }],
    );
    daemon = new FakeDaemon();
    reload = await asked.configuration!.reloadOf(() => daemon, asked.options.pairs);
    assert.deepEqual(await change(file('', 'mmap: direct', bare('a'), bare('b'))), {
      ...nothing,
      applied: ['desk: /dev/a: mmap (for the next VM)', 'desk: /dev/b: mmap (for the next VM)'],
    });
    assert.deepEqual(daemon.changed.get(asked.options.pairs[1]!)!.socket, { listeningFd: 8 });
    const { needsRestart } = await change(file('', 'mmap: direct', bare('a'), bare('c')));
    assert.deepEqual(needsRestart, [
      'desk: /dev/b: not served any more',
      'desk: /dev/c: served, on a socket that was passed on',
    ]);
    assert.throws(() => askedOf({ config: path }, [7]), /has no socket: name one with socket-path/);
    assert.throws(() => askedOf({ config: path }, [7, 8, 9]), /passed 3 sockets/);
  });
});
