/**
 * Runs in the lab's machine with systemd (../long/plug.test.ts): the Debian package is installed, a USB camera is plugged
 * in and out, udev and systemd start and stop its instance, and QEMU streams. VMB_DEBS: paths of the package and of its
 * next version, with a space between.
 */
import assert from 'node:assert/strict';
import { execFile, execFileSync, spawnSync } from 'node:child_process';
import { existsSync, readFileSync, writeFileSync } from 'node:fs';
import { promisify } from 'node:util';
import { eventually } from '../../addon/support/process.js';
import { UsbCamera } from '../../lab/support/usb-camera.js';
import { Capture } from '../../vmm/support/capture.js';
import { Guest } from '../../vmm/support/guest.js';

const TIMES = 10;
const [deb = '', next = ''] = (process.env.VMB_DEBS ?? '').split(' ');
const RULES = '/etc/udev/rules.d/75-cameras.rules';
const WAIT_MS = 60_000;

const service = (name: string) => `virtio-media-bridge@${name}.service`;
const socketOf = (name: string) => `/run/virtio-media-bridge/${name}.sock`;

/** Properties of a unit, as systemctl shows them. */
function show(unit: string, ...names: string[]): string[] {
  const text = execFileSync('systemctl', ['show', unit, ...names.map((name) => `--property=${name}`)], {
    encoding: 'utf8',
  });
  const found = new Map(
    text.split('\n').map((line) => [line.split('=')[0]!, line.slice(line.indexOf('=') + 1)]),
  );
  return names.map((name) => found.get(name) ?? '');
}

async function reaches(unit: string, state: string): Promise<void> {
  const state_ = () => show(unit, 'ActiveState')[0]!;
  if (await eventually(() => state_() === state, WAIT_MS)) return;
  const { stdout } = spawnSync('journalctl', ['--no-pager', '-n', '30', '-u', unit], { encoding: 'utf8' });
  assert.fail(`${unit} is ${state_()}, not ${state}:\n${stdout}`);
}

/** A camera named by its serial number; what is done when it is unplugged. */
function writeRule(name: string, serial: string, unplug: string): void {
  const words = ['rules', '--name', name, '--serial', `*_${serial}`, '--unplug', unplug];
  writeFileSync(RULES, execFileSync('virtio-media-bridge', words));
  execFileSync('udevadm', ['control', '--reload']);
}

async function stream(guest: Guest, frames: number): Promise<Capture> {
  const capture = await Capture.open(guest);
  await capture.setFormat(320, 180, 'YUYV');
  await capture.request(4);
  await capture.start();
  await more(capture, frames);
  return capture;
}

async function more(capture: Capture, frames: number): Promise<void> {
  for (let frame = 0; frame < frames; frame++) {
    const { index } = await capture.next();
    await capture.queue(index);
  }
}

describe('plug in, it serves', function () {
  this.timeout(600_000);
  let camera: UsbCamera | undefined;
  let guest: Guest | undefined;
  before(function () {
    if (!existsSync('/run/systemd/system')) {
      console.error('SKIPPED: systemd does not run here: test/lab/run.sh --systemd');
      this.skip();
    }
    execFileSync('dpkg', ['--install', deb], { stdio: 'pipe' });
    execFileSync('modprobe', ['-a', 'vhci-hcd', 'uvcvideo']);
  });
  afterEach(async () => {
    await guest?.close();
    guest = undefined;
  });
  after(async () => {
    await camera?.takeAway();
  });

  it(`--unplug stop: starts on plug, streams through QEMU, and ends on unplug, ${TIMES} times`, async () => {
    writeRule('plugcam', 'PLUG1', 'stop');
    const pids = new Set<string>();
    camera = await UsbCamera.plugInBeside('--serial', 'PLUG1');
    for (let time = 0; time < TIMES; time++) {
      if (time > 0) await camera.replug();
      await reaches(service('plugcam'), 'active');
      const [pid, status] = show(service('plugcam'), 'MainPID', 'StatusText');
      pids.add(pid!);
      assert.match(status!, /serv/i);
      guest = await Guest.boot(socketOf('plugcam'));
      await stream(guest, 5);
      await camera.unplug();
      await reaches(service('plugcam'), 'inactive');
      await reaches('virtio-media-bridge@plugcam.socket', 'inactive');
      assert.ok(!existsSync(socketOf('plugcam')));
      await guest.close();
      guest = undefined;
    }
    assert.equal(pids.size, TIMES);
    await camera.replug();
    await reaches(service('plugcam'), 'active');
    await camera.takeAway();
    camera = undefined;
    await reaches(service('plugcam'), 'inactive');
  });

  it('--unplug keep: the socket starts it when a VMM connects, and it outlives the camera', async () => {
    writeRule('keepcam', 'KEEP1', 'keep');
    camera = await UsbCamera.plugInBeside('--serial', 'KEEP1');
    await reaches('virtio-media-bridge@keepcam.socket', 'active');
    assert.equal(show(service('keepcam'), 'ActiveState')[0], 'inactive');
    guest = await Guest.boot(socketOf('keepcam'));
    const capture = await stream(guest, 5);
    const [pid] = show(service('keepcam'), 'MainPID');
    await camera.unplug();
    await camera.replug();
    assert.deepEqual(show(service('keepcam'), 'ActiveState', 'MainPID'), ['active', pid]);
    await capture.close().catch(() => undefined);
    await stream(guest, 5);
  });

  it('is confined by AppArmor, if the kernel has it', function () {
    const [pid] = show(service('keepcam'), 'MainPID');
    if (!existsSync('/sys/kernel/security/apparmor')) this.skip();
    const { stdout } = spawnSync(
      'journalctl',
      ['--no-pager', '-k', '--grep', 'apparmor="DENIED".*virtio-media-bridge'],
      { encoding: 'utf8' },
    );
    assert.match(readFileSync(`/proc/${pid}/attr/current`, 'utf8'), /^virtio-media-bridge/);
    assert.doesNotMatch(stdout, /DENIED/);
  });

  it('goes on streaming while its package is upgraded, and ends when it is removed', async () => {
    const [pid] = show(service('keepcam'), 'MainPID');
    guest = await Guest.boot(socketOf('keepcam'));
    const capture = await stream(guest, 5);
    let isDone = false;
    const upgrade = promisify(execFile)('dpkg', ['--install', next]).finally(() => {
      isDone = true;
    });
    while (!isDone) await more(capture, 1);
    await upgrade;
    await more(capture, 10);
    assert.deepEqual(show(service('keepcam'), 'ActiveState', 'MainPID'), ['active', pid]);
    await capture.close();
    await guest.close();
    guest = undefined;
    execFileSync('dpkg', ['--remove', 'virtio-media-bridge'], { stdio: 'pipe' });
    await reaches(service('keepcam'), 'inactive');
    execFileSync('dpkg', ['--purge', 'virtio-media-bridge'], { stdio: 'pipe' });
    assert.ok(!existsSync('/etc/virtio-media-bridge'));
  });
});
