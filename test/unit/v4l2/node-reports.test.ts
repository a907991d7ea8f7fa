/** The lines about a node that a guest cannot use: each is said once, and again when something else is to be said. */
import assert from 'node:assert/strict';
import { Writable } from 'node:stream';
import winston from 'winston';
import { log } from '../../../src/log.js';
import { NodeReports } from '../../../src/v4l2/node-reports.js';

const EACCES = 13;
const ENODEV = 19;
const CAPTURE = 0x0400_0001;
const OUTPUT = 0x0400_0002;
const described = (deviceCaps: number) => ({ driver: '', card: 'a', busInfo: '', deviceCaps, deviceType: 0 });

describe('v4l2/node-reports', () => {
  const lines: string[] = [];
  const stream = new Writable({
    write(chunk, _encoding, done) {
      lines.push(String(chunk).replace(/^\S+ /, '').trimEnd());
      done();
    },
  });
  const transport = new winston.transports.Stream({ stream });
  let node: NodeReports;
  before(() => log.add(transport));
  after(() => log.remove(transport));
  beforeEach(() => {
    lines.length = 0;
    node = new NodeReports({
      path: '/dev/video0',
      holders: async () => ({ holders: [], hidden: false, own: false }),
    });
  });

  it('the same refusal is said once in five seconds, another one at once', () => {
    for (let n = 0; n < 3; n++) node.openFailed(ENODEV, 'its device is gone', null);
    for (let n = 0; n < 3; n++) node.openFailed(ENODEV, 'its port has another device', null);
    for (let n = 0; n < 3; n++) node.openFailed(EACCES, 'its port has another device', null);
    assert.equal(lines.length, 3, lines.join('\n'));
    assert.match(lines[0]!, /^warn: a guest cannot open the node \(ENODEV\): its device is gone device=/);
    assert.match(lines[1]!, /\(ENODEV\): its port has another device/);
    assert.match(lines[2]!, /\(EACCES\): this user needs read and write permission/);
  });

  it('what the node lacks is said once until it lacks nothing, or something else', () => {
    const told = described(CAPTURE);
    for (let n = 0; n < 3; n++) node.lack(told, described(OUTPUT), true);
    assert.equal(lines.length, 1);
    assert.match(
      lines[0]!,
      /\(ENXIO\): it lacks VIDEO_CAPTURE, .* waits for a producer .* now=VIDEO_OUTPUT /,
    );
    node.lack(told, described(0), true);
    assert.match(lines[1]!, /it lacks VIDEO_CAPTURE STREAMING, .* reset the guest/);
    node.fits();
    node.lack(told, described(0), true);
    assert.equal(lines.length, 3);
  });

  it('a node with a device behind it waits for no producer', () => {
    node.lack(described(CAPTURE), described(OUTPUT), false);
    assert.match(lines[0]!, /reset the guest/);
  });
});
