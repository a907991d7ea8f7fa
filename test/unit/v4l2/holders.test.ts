/**
 * Which processes have a device open: with real processes in the kernel's /proc, and in a fake /proc for cases that
 * cannot be made.
 */
import assert from 'node:assert/strict';
import { type ChildProcess, spawn } from 'node:child_process';
import { once } from 'node:events';
import { closeSync, openSync, statSync } from 'node:fs';
import { type Holder, holdersOf, holdersText, mappersOf } from '../../../src/v4l2/holders.js';
import { fakeSysfs } from './support/fake-sysfs.js';

const DEVICE = '/dev/full';
const rdev = statSync(DEVICE).rdev;

describe('v4l2/holders', () => {
  let child: ChildProcess | undefined;

  afterEach(async () => {
    if (child?.exitCode === null && child.signalCode === null) {
      child.kill('SIGKILL');
      await once(child, 'exit');
    }
    child = undefined;
  });

  /** Starts a process that has `fd` open. Resolves when the process has written that it runs. */
  async function holder(fd: number, command = 'echo ready; read end'): Promise<ChildProcess> {
    child = spawn('sh', ['-c', command], { stdio: ['pipe', 'pipe', 'inherit', fd] });
    await once(child.stdout!, 'data');
    return child;
  }

  it('names process and command, and not this process', async () => {
    const fd = openSync(DEVICE, 'r');
    try {
      const { pid } = await holder(fd);
      const { holders } = await holdersOf(rdev);
      assert.deepEqual(
        holders.filter((each) => each.pid === pid || each.pid === process.pid),
        [{ pid, command: 'sh', maps: false }],
      );
      assert.equal(
        holdersText({ holders: holders.filter((each) => each.pid === pid), hidden: true }),
        `sh (${pid})`,
      );
    } finally {
      closeSync(fd);
    }
  });

  it('tells devices apart by their number, not by their name', async () => {
    const fd = openSync(DEVICE, 'r');
    try {
      const { pid } = await holder(fd);
      const { holders } = await holdersOf(statSync('/dev/zero').rdev);
      assert.deepEqual(
        holders.filter((each) => each.pid === pid),
        [],
      );
    } finally {
      closeSync(fd);
    }
  });

  describe('in a made-up /proc', () => {
    const { sysfs, put, link } = fakeSysfs();
    const scan = () => holdersOf(rdev, `${sysfs.root}/proc`, 1);

    it('passes over processes and descriptors that are gone, and whatever else is in /proc', async () => {
      put('proc/12/comm', 'cheese\n');
      link('proc/12/fd/3', '/dev/closed-meanwhile');
      link('proc/12/fd/4', DEVICE);
      put('proc/13/comm', 'ended\n');
      put('proc/cmdline', '');
      put('proc/1/comm', 'ourselves\n');
      link('proc/1/fd/3', DEVICE);
      const cheese = { pid: 12, command: 'cheese', maps: false };
      assert.deepEqual(await scan(), { holders: [cheese], hidden: false, own: true });
    });

    it('orders by number and cleans names that a process has given itself', async () => {
      put('proc/100/comm', 'a\u001b[2Jb\nc\n');
      link('proc/100/fd/9', DEVICE);
      put('proc/20/comm', '');
      link('proc/20/fd/9', DEVICE);
      put('proc/101/comm', 'カメラ アプリ\n');
      link('proc/101/fd/9', DEVICE);
      const expected: Holder[] = [
        { pid: 20, command: '?', maps: false },
        { pid: 100, command: 'a?[2Jb?c', maps: false },
        { pid: 101, command: 'カメラ アプリ', maps: false },
      ];
      assert.deepEqual((await scan()).holders, expected);
    });

    it('tells who has buffers mapped from who merely has it open', async () => {
      put('proc/12/comm', 'pipewire\n');
      link('proc/12/fd/3', DEVICE);
      put('proc/12/maps', `7f00-7f01 rw-s 00000000 00:05 9  ${DEVICE}er\n`);
      put('proc/13/comm', 'ffmpeg\n');
      link('proc/13/fd/3', DEVICE);
      put(
        'proc/13/maps',
        `5500-5501 r-xp 00000000 08:01 1  /bin/ffmpeg\n7f00-7f01 rw-s 00000000 00:05 9  ${DEVICE}\n`,
      );
      const found = await scan();
      assert.equal(holdersText(found), 'pipewire (12), ffmpeg (13)');
      assert.equal(holdersText(mappersOf(found)), 'ffmpeg (13)');
      assert.equal(found.own, false);
    });

    it('does not touch files outside of /dev: one on a network may never answer', async () => {
      put('proc/12/comm', 'editor\n');
      link('file-system/device', DEVICE);
      link('proc/12/fd/3', `${sysfs.root}/file-system/device`);
      assert.deepEqual((await scan()).holders, []);
    });
  });

  it('says what to do to see more, where this user may not', () => {
    assert.match(holdersText({ holders: [], hidden: true }), /another program.*run as root/);
    assert.equal(holdersText({ holders: [], hidden: false }), 'another program');
    const two = [
      { pid: 5, command: 'ffmpeg', maps: true },
      { pid: 6, command: 'cheese', maps: false },
    ];
    assert.equal(holdersText({ holders: two, hidden: false }), 'ffmpeg (5), cheese (6)');
  });
});
