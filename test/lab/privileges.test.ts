/**
 * serve gives up root: with a real root user, a real node with the owner and mode that udev gives it, and a real setuid
 * program.
 */
import assert from 'node:assert/strict';
import { execFileSync, spawnSync } from 'node:child_process';
import {
  chmodSync,
  chownSync,
  closeSync,
  constants,
  copyFileSync,
  existsSync,
  lstatSync,
  mkdirSync,
  openSync,
  rmSync,
  writeFileSync,
} from 'node:fs';
import { fileURLToPath } from 'node:url';
import type { GuestDriver } from '../../src/client/guest-driver.js';
import { Errno } from '../../src/errno.js';
import { addonPath, native } from '../../src/native.js';
import { BufferType } from '../../src/v4l2/layout.js';
import { mediaDevices } from '../../src/v4l2/media-request.js';
import { lineOf, printed } from '../addon/support/child.js';
import { until } from '../support/until.js';
import { success } from '../unit/support/success.js';
import { assertConfined } from './support/confinement.js';
import { GuestQueue } from './support/guest-queue.js';
import type { Attempts } from './support/intruder.js';
import { nodeNamed, provide, unload } from './support/kernel-modules.js';
import { enter, ServeProcess, type ServeProcessOptions } from './support/serve-process.js';
import { errnoOf } from './support/stage.js';

const VIVID = 'vivid n_devs=1 node_types=0x1';
const VISL = 'visl';
const CAMERA = 'vivid-000-vid-cap';
const NOBODY = 65534;
const STRANGER = 4321;
const VIDEO = 44;
const FOLDER = '/tmp/vmb-lab-privileges';
const ADDON = `${FOLDER}/addon.node`;
const SECRET = `${FOLDER}/secret`;
const SETUID_ID = `${FOLDER}/id`;
const SOCKET = `${FOLDER}/camera.sock`;
const INTRUDER = fileURLToPath(new URL('support/intruder.js', import.meta.url));
const CLIENT = fileURLToPath(new URL('support/serve-process.js', import.meta.url));
const asNobody = ['--user', 'nobody', '--group', 'video'];

describe('lab: privileges', function () {
  this.timeout(180_000);
  let server: ServeProcess | undefined;

  let lent: string | undefined;

  before(function () {
    provide(this, VIVID);
    rmSync(FOLDER, { recursive: true, force: true });
    mkdirSync(FOLDER);
    // Only root may read the folder of the lab's own addon.
    copyFileSync(addonPath, ADDON);
    chmodSync(ADDON, 0o755);
    lent = process.env.VMB_ADDON;
    process.env.VMB_ADDON = ADDON;
    writeFileSync(SECRET, 'of root', { mode: 0o600 });
    copyFileSync('/usr/bin/id', SETUID_ID);
    chmodSync(SETUID_ID, 0o4755);
    plug(VIDEO, 0o660);
  });
  afterEach(function () {
    if (this.currentTest?.state === 'failed') console.error(server?.stderr);
  });
  after(async () => {
    await end();
    // Programs of later tests inherit this process's environment.
    if (lent === undefined) delete process.env.VMB_ADDON;
    else process.env.VMB_ADDON = lent;
    unload(VIVID);
    rmSync(FOLDER, { recursive: true, force: true });
  });

  /** Does what udev does with a new node. */
  const plug = (gid: number, mode: number) => {
    chownSync(nodeNamed(CAMERA), 0, gid);
    chmodSync(nodeNamed(CAMERA), mode);
  };
  const words = (...more: string[]) => ['--device', nodeNamed(CAMERA), '--socket-path', SOCKET, ...more];
  const serve = async (more: readonly string[], options: ServeProcessOptions = {}) => {
    server = await ServeProcess.start(words(...more), options);
  };
  const end = async () => {
    await server?.kill();
    server = undefined;
  };

  describe('root becomes a user with one group', () => {
    const more = ['--socket-group', `${STRANGER}`, '--allow-uid', `${STRANGER}`, '--allow-uid', '0'];
    const env = {
      NODE_OPTIONS: `--import=${INTRUDER}`,
      INTRUDER_SECRET: SECRET,
      INTRUDER_SETUID_ID: SETUID_ID,
    };
    before(() => serve([...asNobody, ...more], { env }));
    after(end);

    it('frames come, and no thread has anything left', async () => {
      const { frontEnd, driver } = await enter(SOCKET);
      const queue = await streaming(driver);
      const statuses = server!.statuses();
      const names = statuses.map((status) => lineOf(status, 'Name'));
      assert.ok(names.filter((name) => name.startsWith('vmb-')).length >= 2, `no lane and watcher: ${names}`);
      assertConfined(statuses, NOBODY, VIDEO);
      await frames(queue, 10);
      await queue.off();
      frontEnd.close();
    });

    it('whoever takes the process over does not get root back, nor what is root’s', async () => {
      const control = spawnSync(SETUID_ID, ['-u'], { uid: NOBODY, gid: VIDEO, encoding: 'latin1' });
      assert.equal(control.stdout.trim(), '0', 'the setuid program gives root to anybody else');
      server!.signal('SIGUSR2');
      await until(() => /^intruder .*\n/m.test(server!.stderr), 'the attempts', 30_000);
      const found = JSON.parse(/^intruder (.*)$/m.exec(server!.stderr)![1]!) as Attempts;
      const { setuidProgram, ...refused } = found;
      assert.equal(setuidProgram, String(NOBODY));
      for (const [what, errno] of Object.entries(refused))
        assert.ok(errno === 'EPERM' || errno === 'EACCES', `${what}: ${errno}`);
    });

    it('unplugged and plugged in again: a new session opens the new node, once its group may', async () => {
      const { frontEnd, driver } = await enter(SOCKET);
      const first = await streaming(driver);
      await frames(first, 3);
      await first.off();
      await first.release();
      await driver.close(first.session);
      const path = nodeNamed(CAMERA);
      await until(() => !server!.files().includes(path), 'the bridge to let go of the node');
      unload(VIVID);
      execFileSync('modprobe', VIVID.split(' '));
      assert.equal(nodeNamed(CAMERA), path, 'the node has another number');
      plug(0, 0o600);
      assert.equal(await errnoOf(driver.open()), Errno.EACCES);
      plug(VIDEO, 0o660);
      await frames(await streaming(driver), 3);
      assertConfined(server!.statuses(), NOBODY, VIDEO);
      frontEnd.close();
    });

    it('the socket is the user’s and that of the group that was named', () => {
      const { uid, gid, mode } = lstatSync(SOCKET);
      assert.deepEqual([uid, gid, mode & 0o7777], [NOBODY, STRANGER, 0o660]);
      assert.throws(() => asked(STRANGER, 1234), /EACCES/);
    });

    it('--allow-uid: others are closed at once, and a line says who', async () => {
      assert.equal(asked(STRANGER, STRANGER), 'vivid');
      assert.throws(() => asked(1234, STRANGER), /ended|closed|gone|ECONNRESET|EPIPE/);
      const line = /refused: its user is none of --allow-uid uid=1234 pid=[1-9]\d*\n/;
      await until(() => line.test(server!.stderr), 'a line that says who was refused');
    });

    it('SIGTERM ends it; its socket stays where root’s folder does', async () => {
      assert.equal(await server!.stop(), 0);
      assert.equal(existsSync(SOCKET), true);
    });
  });

  describe('a group alone', () => {
    before(() => serve(['--group', 'video']));
    after(end);

    it('is still user 0, without a capability, and a line says so', () => {
      assertConfined(server!.statuses(), 0, VIDEO);
      assert.match(server!.stderr, /user 0 without capabilities still owns root's files/);
    });

    it('replaces a socket that was left, with one for nobody else', async () => {
      const { uid, gid, mode } = lstatSync(SOCKET);
      assert.deepEqual([uid, gid, mode & 0o7777], [0, 0, 0o600]);
      const { frontEnd } = await enter(SOCKET);
      frontEnd.close();
    });
  });

  describe('started unprivileged in the group video', () => {
    const identity = { uid: NOBODY, gid: VIDEO };
    before(async () => {
      rmSync(SOCKET, { force: true });
      chownSync(FOLDER, NOBODY, 0);
      await serve([], identity);
    });
    after(async () => {
      chownSync(FOLDER, 0, 0);
      await end();
    });

    it('frames come, and no program gets more', async () => {
      const { frontEnd, driver } = await enter(SOCKET);
      const queue = await streaming(driver);
      assertConfined(server!.statuses(), NOBODY, VIDEO, { bounding: false });
      await frames(queue, 5);
      frontEnd.close();
    });

    it('SIGTERM ends it and removes its socket', async () => {
      assert.equal(await server!.stop(), 0);
      assert.equal(existsSync(SOCKET), false);
    });

    it('it may not become anybody else', async () => {
      const [exit, stderr] = await ServeProcess.refused(words('--user', 'root'), identity);
      assert.equal(exit, 77);
      assert.match(stderr, /--user and --group need a start as root/);
    });
  });

  it('a group that may not open the node: the error names the one that may', async () => {
    const [exit, stderr] = await ServeProcess.refused(words('--user', 'nobody'));
    assert.equal(exit, 77);
    assert.match(stderr, /cannot be opened: EACCES: .*serve with `--group video`/);
  });

  it('a program that the user may not read: an error that says so', async () => {
    const hidden = `${FOLDER}/hidden`;
    mkdirSync(hidden, { mode: 0o700 });
    copyFileSync(ADDON, `${hidden}/addon.node`);
    const env = { VMB_ADDON: `${hidden}/addon.node` };
    const [exit, stderr] = await ServeProcess.refused(words(...asNobody), { env });
    assert.equal(exit, 77);
    assert.match(stderr, /user 65534, group 44 has no access to .*hidden.*install virtio-media-bridge/);
  });

  it('a stateless decoder: its media device is for the group too, or the error says so', async function () {
    provide(this, VISL);
    try {
      const node = nodeNamed(VISL);
      const devices = success(await mediaDevices(node));
      assert.ok(devices.length > 0, `${node} has no media device`);
      chownSync(node, 0, VIDEO);
      chmodSync(node, 0o660);
      const decoder = ['--device', node, '--socket-path', SOCKET, ...asNobody];
      const [exit, stderr] = await ServeProcess.refused(decoder);
      assert.equal(exit, 77);
      assert.match(stderr, /its media device cannot be opened \(EACCES\)/);
      for (const media of devices) {
        chownSync(media, 0, VIDEO);
        chmodSync(media, 0o660);
      }
      server = await ServeProcess.start(decoder);
      assertConfined(server.statuses(), NOBODY, VIDEO);
    } finally {
      await end();
      unload(VISL);
    }
  });

  it('descriptors that were handed over come along: a socket of systemd, an open node', async () => {
    rmSync(SOCKET, { force: true });
    const listening = native.listen(SOCKET);
    const node = openSync(nodeNamed(CAMERA), constants.O_RDWR | constants.O_NONBLOCK);
    server = await ServeProcess.start(['--device-fd', '4', ...asNobody], {
      inherited: [listening, node],
      shell: 'LISTEN_PID=$$ LISTEN_FDS=1 exec "$@"',
    });
    for (const fd of [listening, node]) closeSync(fd);
    const { frontEnd, driver } = await enter(SOCKET);
    await frames(await streaming(driver), 3);
    assertConfined(server.statuses(), NOBODY, VIDEO);
    frontEnd.close();
    await end();
  });
});

async function streaming(driver: GuestDriver): Promise<GuestQueue> {
  const queue = new GuestQueue(driver, await driver.open(), BufferType.VIDEO_CAPTURE);
  await queue.setFormat('RGB3', 320, 180);
  await queue.start(4);
  return queue;
}

async function frames(queue: GuestQueue, count: number): Promise<void> {
  for (let n = 0; n < count; n++) await queue.queue((await queue.next()).buffer.index);
}

/** Connects as a VMM of this user and group and returns the card's name. Throws if the VMM is not admitted. */
function asked(uid: number, gid: number): unknown {
  const script = `
    const { enter } = await import(${JSON.stringify(CLIENT)});
    const { frontEnd } = await enter(${JSON.stringify(SOCKET)});
    print((await frontEnd.readConfig()).card);
    frontEnd.close();
  `;
  return printed(script, { uid, gid });
}
