/** The metrics as a scraper gets them, on real sockets. */
import assert from 'node:assert/strict';
import { mkdtempSync, rmSync, statSync } from 'node:fs';
import { type IncomingHttpHeaders, request } from 'node:http';
import { createConnection, type Socket } from 'node:net';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import type { PairReport } from '../../../src/daemon/report.js';
import { parseAddress } from '../../../src/metrics/address.js';
import { exposition } from '../../../src/metrics/exposition.js';
import { MAX_SCRAPERS, MAX_SCRAPES, MetricsServer } from '../../../src/metrics/server.js';
import { noFrames, timeBounds } from '../../../src/v4l2/frame-counters.js';
import { openLoopDescriptors } from '../../support/loop-descriptors.js';
import { until } from '../../support/until.js';
import { openDescriptors } from '../vhost-user/support/vmm.js';

const times = (...microseconds: number[]) => ({
  counts: timeBounds.map(
    (bound, n) => microseconds.filter((us) => us < bound && us >= (timeBounds[n - 1] ?? 0)).length,
  ),
  sum: microseconds.reduce((sum, us) => sum + us, 0),
});

/** A camera with one session. */
const pair: PairReport = {
  device: '/dev/video0',
  card: 'a "card"\n',
  identity: null,
  socket: '/run/a.sock',
  vmm: { pid: 7 },
  leaving: 0,
  sessions: [{ id: 3, state: 'hung', bufferBytes: 4096, queues: [] }],
  lastFailure: null,
  totals: {
    frames: new Map([
      [1, { ...noFrames, frames: 5, bytes: 500, lost: 2, damaged: 1, latency: times(20, 70, 9e9) }],
    ]),
    commands: new Map([[15, { errors: 1, lastErrno: 22, times: times(10, 20) }]]),
  },
};

const OPEN_METRICS = 'application/openmetrics-text;version=1.0.0,text/plain;version=0.0.4;q=0.5';

describe('metrics', () => {
  let folder: string;
  let opened: number;
  let server: MetricsServer | undefined;
  let sockets: Socket[];
  before(openLoopDescriptors);
  beforeEach(() => {
    folder = mkdtempSync(join(tmpdir(), 'vmb-metrics-'));
    opened = openDescriptors();
    sockets = [];
  });
  afterEach(async () => {
    server?.close();
    server = undefined;
    for (const socket of sockets) socket.destroy();
    await until(() => openDescriptors() <= opened, 'descriptors are left');
    rmSync(folder, { recursive: true });
  });

  interface Answer {
    status: number | undefined;
    headers: IncomingHttpHeaders;
    text: string;
  }
  const scrape = (options: object): Promise<Answer> =>
    new Promise((resolve, reject) => {
      request({ path: '/metrics', agent: false, ...options }, (response) => {
        let text = '';
        response.setEncoding('utf8');
        response.on('data', (chunk: string) => {
          text += chunk;
        });
        response.on('end', () => resolve({ status: response.statusCode, headers: response.headers, text }));
      })
        .on('error', reject)
        .end();
    });
  const open = async (): Promise<{ socketPath: string }> => {
    const socketPath = join(folder, 'm.sock');
    server = await MetricsServer.open(`unix:${socketPath}`, () => [pair]);
    return { socketPath };
  };
  const raw = async (socketPath: string): Promise<Socket> => {
    const socket = createConnection({ path: socketPath });
    sockets.push(socket);
    socket.on('error', () => undefined);
    await new Promise((resolve) => socket.once('connect', resolve));
    return socket;
  };

  it('are served on loopback and unix sockets only', () => {
    assert.deepEqual(parseAddress('unix:/run/a'), { path: '/run/a' });
    assert.deepEqual(parseAddress('127.0.0.1:9100'), { host: '127.0.0.1', port: 9100 });
    assert.deepEqual(parseAddress('[::1]:0'), { host: '::1', port: 0 });
    for (const text of [
      '',
      'unix:',
      '127.0.0.1',
      '127.0.0.1:',
      '127.0.0.1:x',
      '0.0.0.0:1',
      '::1:1',
      'localhost:1',
      '[::]:1',
      '127.0.0.1:65536',
      '127.0.0.1:1 ',
    ])
      assert.equal(parseAddress(text), undefined, text);
  });

  it('have the numbers of each device', async () => {
    const { text } = await exposition([pair]);
    for (const line of [
      'virtio_media_vm_connected{device="/dev/video0"} 1',
      'virtio_media_sessions_hung{device="/dev/video0"} 1',
      'virtio_media_buffer_memory_bytes{device="/dev/video0"} 4096',
      'virtio_media_frames_total{device="/dev/video0",queue="VIDEO_CAPTURE"} 5',
      'virtio_media_frames_lost_total{device="/dev/video0",queue="VIDEO_CAPTURE"} 2',
      'virtio_media_frame_latency_seconds_bucket{device="/dev/video0",queue="VIDEO_CAPTURE",le="0.000016"} 0',
      'virtio_media_frame_latency_seconds_bucket{device="/dev/video0",queue="VIDEO_CAPTURE",le="0.000064"} 1',
      'virtio_media_frame_latency_seconds_bucket{device="/dev/video0",queue="VIDEO_CAPTURE",le="4.194304"} 2',
      'virtio_media_frame_latency_seconds_bucket{device="/dev/video0",queue="VIDEO_CAPTURE",le="+Inf"} 3',
      'virtio_media_frame_latency_seconds_count{device="/dev/video0",queue="VIDEO_CAPTURE"} 3',
      'virtio_media_command_duration_seconds_sum{device="/dev/video0",command="QBUF"} 0.00003',
      'virtio_media_command_errors_total{device="/dev/video0",command="QBUF"} 1',
    ])
      assert.ok(text.split('\n').includes(line), `${line}\n${text}`);
    assert.doesNotMatch(text, /card/, 'no text of a driver');
  });

  it('are OpenMetrics for who asks for it, again and again', async () => {
    for (let round = 0; round < 2; round++) {
      const { text, contentType } = await exposition([pair], OPEN_METRICS);
      assert.match(contentType, /^application\/openmetrics-text/);
      assert.match(text, /^# TYPE virtio_media_frames counter$/m);
      assert.match(text, /^virtio_media_frames_total\{device="\/dev\/video0",queue="VIDEO_CAPTURE"\} 5$/m);
      assert.match(text, /\n# EOF\n$/);
      assert.match((await exposition([pair])).text, /^# TYPE virtio_media_frames_total counter$/m);
    }
  });

  it('are for their user only, and the socket is removed at the end', async () => {
    const { socketPath } = await open();
    assert.equal(statSync(socketPath).mode & 0o777, 0o600);
    const { status, headers, text } = await scrape({ socketPath });
    assert.equal(status, 200);
    assert.equal(headers['content-type'], 'text/plain; version=0.0.4; charset=utf-8');
    assert.match(text, /^virtio_media_frames_total/m);
    server!.close();
    assert.equal(statSync(socketPath, { throwIfNoEntry: false }), undefined);
  });

  it('are served at a port of loopback', async () => {
    server = await MetricsServer.open('127.0.0.1:0', () => [pair]);
    const { status } = await scrape({ host: '127.0.0.1', port: server.port });
    assert.equal(status, 200);
    await assert.rejects(
      MetricsServer.open(`127.0.0.1:${server.port}`, () => []),
      {
        code: 'ERR_SOCKET_IN_USE',
      },
    );
  });

  it('refuse another path, method, and a body', async () => {
    const { socketPath } = await open();
    assert.equal((await scrape({ socketPath, path: '/' })).status, 404);
    assert.equal((await scrape({ socketPath, path: '//x/../metrics?%' })).status, 404);
    assert.equal((await scrape({ socketPath, method: 'DELETE' })).status, 405);
    assert.equal((await scrape({ socketPath, headers: { 'content-length': '5' } })).status, 413);
    const head = await scrape({ socketPath, method: 'HEAD' });
    assert.deepEqual([head.status, head.text], [200, '']);
  });

  it('answer garbage with an error, and close', async () => {
    const { socketPath } = await open();
    const socket = await raw(socketPath);
    let text = '';
    let isClosed = false;
    socket.on('data', (chunk) => {
      text += chunk;
    });
    socket.on('close', () => {
      isClosed = true;
    });
    socket.write(Buffer.alloc(64 << 10, 0xff));
    await until(() => isClosed);
    assert.match(text, /^HTTP\/1\.1 4\d\d /);
    assert.equal((await scrape({ socketPath })).status, 200);
  });

  it('are so many in a second, whoever asks', async () => {
    const { socketPath } = await open();
    const answers = await Promise.all(
      Array.from({ length: 3 }, async () => {
        const seen = [];
        for (let n = 0; n < MAX_SCRAPES; n++) seen.push((await scrape({ socketPath })).status);
        return seen;
      }),
    );
    const statuses = answers.flat();
    assert.ok(statuses.includes(429), `${statuses}`);
    assert.ok(statuses.includes(200));
  });

  it('have room for so many connections', async () => {
    const { socketPath } = await open();
    const held = [];
    for (let n = 0; n < MAX_SCRAPERS; n++) held.push(await raw(socketPath));
    await assert.rejects(scrape({ socketPath }), 'one more is closed');
    for (const socket of held) socket.destroy();
    await until(() => openDescriptors() <= opened + 4);
    assert.equal((await scrape({ socketPath })).status, 200);
  });
});
