/**
 * Runs in the lab's machine with systemd (../long/guides.test.ts): the units of docs/guides/ serve vivid's cameras as the
 * guides say.
 */
import assert from 'node:assert/strict';
import { execFileSync, spawnSync } from 'node:child_process';
import { chownSync, cpSync, existsSync, mkdirSync, statSync, writeFileSync } from 'node:fs';
import { eventually } from '../../addon/support/process.js';
import { provide } from '../../lab/support/kernel-modules.js';
import { read } from '../../unit/support/document.js';
import { blocksOf } from '../../unit/support/guide.js';

const VIVID = 'vivid n_devs=2 node_types=0x1,0x1';
const COMMAND = '/usr/local/bin/virtio-media-bridge';
const USER = 1234;
const WAIT_MS = 60_000;
/** The folder of a user's sockets, `%t` of its units. */
const RUNTIME = `/run/user/${USER}`;

const run = (program: string, ...words: string[]) => execFileSync(program, words, { encoding: 'utf8' });
const asUser = (...words: string[]) => {
  const identity = ['--reuid', `${USER}`, '--regid', `${USER}`, '--init-groups'];
  return run('setpriv', ...identity, 'env', 'HOME=/home/me', `XDG_RUNTIME_DIR=${RUNTIME}`, ...words);
};
const journal = (unit: string) =>
  spawnSync('journalctl', ['--no-pager', '--unit', unit], { encoding: 'utf8' }).stdout;
const unitsOf = (page: string) =>
  blocksOf(read(`docs/guides/${page}`))
    .filter(({ language }) => language === 'ini')
    .map(({ text }) => text);

/** The configuration of the guide has cameras that the lab has not. */
const configuration = (level: string) => `user: vmb
group: video
socket-user: vmm
log-level: ${level}
vms:
  desk:
    nodes:
      - device: /dev/video0
        socket-path: /run/vmb-desk/webcam.sock
`;

describe('units of the guides', function () {
  this.timeout(300_000);
  before(function () {
    if (!existsSync('/run/systemd/system')) {
      console.error('SKIPPED: systemd does not run here: test/lab/run.sh --systemd');
      this.skip();
    }
    provide(this, VIVID);
    run('udevadm', 'settle');
    writeFileSync(COMMAND, '#!/bin/sh\nexec node /checkout/dist/bin/cli.js "$@"\n', { mode: 0o755 });
    run('useradd', '--system', '--no-create-home', '--groups', 'video', 'vmb');
    run('useradd', '--system', 'vmm');
    run('useradd', '--create-home', '--uid', `${USER}`, '--groups', 'video', 'me');
  });

  it('a VM: serves to the user of the VMM, reloads, and leaves nothing when it stops', async () => {
    const [unit] = unitsOf('two-vms.md');
    writeFileSync('/etc/systemd/system/vmb@.service', unit!);
    mkdirSync('/etc/virtio-media-bridge', { recursive: true });
    writeFileSync('/etc/virtio-media-bridge/config.yaml', configuration('info'), { mode: 0o644 });
    run('systemctl', 'daemon-reload');
    run('systemctl', 'start', 'vmb@desk.service');
    const socket = statSync('/run/vmb-desk/webcam.sock');
    assert.deepEqual([socket.uid, socket.mode & 0o777], [Number(run('id', '-u', 'vmm')), 0o600]);
    assert.match(run(COMMAND, 'probe', '/run/vmb-desk/webcam.sock', '--frames', '5'), /the bridge works/);
    writeFileSync('/etc/virtio-media-bridge/config.yaml', configuration('debug'), { mode: 0o644 });
    run('systemctl', 'reload', 'vmb@desk.service');
    const isChanged = () => journal('vmb@desk.service').includes('changed: log-level');
    assert.ok(await eventually(isChanged, WAIT_MS), journal('vmb@desk.service'));
    run('systemctl', 'stop', 'vmb@desk.service');
    assert.ok(!existsSync('/run/vmb-desk'));
  });

  it("a user's own: the socket starts the process, status finds it", async () => {
    mkdirSync(RUNTIME, { recursive: true, mode: 0o700 });
    chownSync(RUNTIME, USER, USER);
    mkdirSync('/tmp/units', { recursive: true });
    for (const text of unitsOf('user-units.md'))
      writeFileSync(`/tmp/units/camera@.${text.includes('[Service]') ? 'service' : 'socket'}`, text, {
        mode: 0o644,
      });
    cpSync('/tmp/units', '/home/me/.config/systemd/user', { recursive: true });
    const manager = ['--uid=me', '-p', 'Delegate=yes', '-p', 'SupplementaryGroups=video', '-E'];
    run(
      'systemd-run',
      '--unit=me',
      ...manager,
      `XDG_RUNTIME_DIR=${RUNTIME}`,
      '/usr/lib/systemd/systemd',
      '--user',
    );
    assert.ok(await eventually(() => existsSync(`${RUNTIME}/systemd/private`), WAIT_MS), journal('me'));
    asUser('systemctl', '--user', 'start', 'camera@video1.socket');
    const socket = `${RUNTIME}/virtio-media-bridge/video1.sock`;
    assert.match(asUser(COMMAND, 'probe', socket, '--frames', '5'), /the bridge works/);
    assert.match(asUser(COMMAND, 'status'), /^\/dev\/video1 +vivid/m);
  });
});
