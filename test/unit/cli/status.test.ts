/** The command `status`: its tables, and how it finds and asks bridges. */
import assert from 'node:assert/strict';
import { mkdtempSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { defaultSockets } from '../../../src/cli/status.js';
import { type BridgeStatus, rated, statusText } from '../../../src/cli/status-table.js';
import { run } from './support/run.js';

const queue = {
  type: 'VIDEO_CAPTURE',
  streaming: true,
  backing: 'userptr',
  buffers: 4,
  queued: 3,
  format: { fourcc: 'YUYV', width: 640, height: 480, bytes: 614400 },
  frames: 100,
  bytes: 61_440_000,
  lost: 2,
  damaged: 0,
  latency: { count: 100, medianUs: 812, p99Us: 2400 },
};
const bridge: BridgeStatus = {
  socket: '/run/virtio-media-bridge/video0.control',
  daemon: '0.1.0',
  pid: 4711,
  uptime: 3700,
  pairs: [
    {
      device: '/dev/video0',
      card: 'A Camera',
      identity: null,
      socket: '/run/a.sock',
      vmm: { pid: 99 },
      leaving: 0,
      sessions: [
        { id: 1, state: 'open', bufferBytes: 2_457_600, queues: [queue] },
        { id: 2, state: 'hung', bufferBytes: 0, queues: [] },
      ],
      lastFailure: { command: 'S_FMT', error: 'EBUSY', text: 'resource busy or locked', secondsAgo: 61 },
      frames: {},
      commands: [
        {
          command: 'QBUF',
          count: 100,
          errors: 0,
          lastError: null,
          time: { count: 100, medianUs: 30, p99Us: 90 },
        },
        {
          command: 'S_FMT',
          count: 2,
          errors: 1,
          lastError: 'EBUSY',
          time: { count: 2, medianUs: 1500, p99Us: 9000 },
        },
      ],
    },
  ],
};

describe('cli/status', function () {
  this.timeout(120_000);

  it('shows pairs, sessions and commands', () => {
    const later = structuredClone(bridge);
    const shown = later.pairs[0]!.sessions[0]!.queues[0]! as { frames: number; bytes: number };
    shown.frames += 15;
    shown.bytes += 15 * 614_400;
    assert.equal(
      statusText(rated([bridge], [later], 500)),
      `/run/virtio-media-bridge/video0.control: process 4711, version 0.1.0, up 1 h

DEVICE       CARD      VM  SESSIONS  LAST ERROR
/dev/video0  A Camera  99  2         S_FMT EBUSY (resource busy or locked), 1 min ago

DEVICE       SESSION  QUEUE          STATE    FORMAT        FRAMES  FPS   RATE        LOST  DAMAGED  QUEUED  LATENCY  99TH     MEMORY
/dev/video0  1        video capture  streams  YUYV 640x480  115     30.0  17.6 MiB/s  2     0        3 of 4  812 us   2.40 ms  2.3 MiB
/dev/video0  2        -              hung     -             -       -     -           -     -        -       -        -        0 B

DEVICE       COMMAND  COUNT  MEDIAN   99TH     ERRORS  LAST
/dev/video0  QBUF     100    30 us    90 us    0       -
/dev/video0  S_FMT    2      1.50 ms  9.00 ms  1       EBUSY`,
    );
  });

  it('has no rates without an earlier look, and none of another session', () => {
    const rates = (before: BridgeStatus[]) =>
      rated(before, [bridge], 1000)[0]!.pairs[0]!.sessions[0]!.queues[0]!.framesPerSecond;
    assert.equal(rates([]), null);
    assert.equal(rates([bridge]), 0);
    assert.equal(rates([{ ...bridge, pid: 4712 }]), null, 'another process');
    assert.equal(rated([bridge], [bridge], 0)[0]!.pairs[0]!.sessions[0]!.queues[0]!.framesPerSecond, null);
  });

  it('shows an idle bridge', () => {
    const idle = {
      ...bridge,
      pairs: [{ ...bridge.pairs[0]!, vmm: null, sessions: [], commands: [], lastFailure: null, leaving: 1 }],
    };
    assert.equal(
      statusText([idle]).split('\n').slice(2).join('\n'),
      `DEVICE       CARD      VM  SESSIONS       LAST ERROR
/dev/video0  A Camera  -   0 (1 leaving)  -`,
    );
  });

  it('finds every control socket of the folders', () => {
    const folder = mkdtempSync(join(tmpdir(), 'vmb-status-'));
    for (const name of ['b.control', 'a.control', 'a.sock']) writeFileSync(join(folder, name), '');
    assert.deepEqual(defaultSockets(['/nonexistent', folder]), [
      join(folder, 'a.control'),
      join(folder, 'b.control'),
    ]);
    assert.throws(() => defaultSockets(['/nonexistent']), {
      code: 'ERR_SOCKET_CONNECT',
      message:
        /no bridge of this host has a control socket in \/nonexistent: start it with --control \/nonexistent\/NAME\.control/,
    });
    rmSync(folder, { recursive: true });
  });

  it('says whom it cannot ask, and exits with 69', () => {
    const { status, stdout, stderr } = run(['status', '--control', '/nonexistent/a.control']);
    assert.deepEqual([status, stdout], [69, '']);
    assert.match(
      stderr,
      /\/nonexistent\/a\.control cannot be asked: there is no such socket; start `serve` with --control/,
    );
  });
});
