/** A host node without a device: the log lines about its holders, and the calls when its device is back. */
import assert from 'node:assert/strict';
import { closeSync, openSync } from 'node:fs';
import { Writable } from 'node:stream';
import winston from 'winston';
import { log } from '../../../src/log.js';
import type { Holders } from '../../../src/v4l2/holders.js';
import { HostNode } from '../../../src/v4l2/node.js';

const EBUSY = 16;
const EMFILE = 24;

describe('v4l2/node', () => {
  describe('EBUSY', () => {
    const lines: string[] = [];
    const stream = new Writable({
      write(chunk, _encoding, done) {
        lines.push(String(chunk));
        done();
      },
    });
    const transport = new winston.transports.Stream({ stream });
    before(() => log.add(transport));
    after(() => log.remove(transport));

    /**
     * The log line about a node with these holders, after EBUSY of an ioctl; with `errno`: after this errno of
     * open().
     */
    async function said(found: Partial<Holders>, errno?: number): Promise<string> {
      lines.length = 0;
      const node = new HostNode('/dev/null');
      node.holders = async () => ({ holders: [], hidden: false, own: false, ...found });
      if (errno) node.reportRefusal(errno);
      else node.reportBusy();
      for (let n = 0; n < 10; n++) await new Promise(setImmediate);
      return lines
        .join('')
        .replace(/^.* warn: /, '')
        .replace(/ device=.*\n$/, '');
    }
    const streamer = { pid: 7, command: 'ffmpeg', maps: true };
    const bystander = { pid: 8, command: 'pipewire', maps: false };

    it('of an ioctl: only who has buffers mapped is named', async () => {
      const line = 'the guest was told EBUSY: ffmpeg (7) has buffers of the node mapped';
      assert.equal(await said({ holders: [streamer, bystander] }), line);
      assert.equal(await said({ holders: [bystander] }), '');
      assert.equal(await said({ hidden: true }), '');
    });

    it('of open(): whoever has the node is in the way', async () => {
      const line = 'the guest was told EBUSY: pipewire (8) has the node';
      assert.equal(await said({ holders: [bystander] }, EBUSY), line);
      assert.match(await said({ hidden: true }, EBUSY), /run as root to see/);
      assert.match(await said({}, EBUSY), /no other program is seen to have the node/);
    });

    it('of open(): the guest’s own files are no news, whoever else has the node', async () => {
      assert.equal(await said({ holders: [bystander], own: true }, EBUSY), '');
    });

    it('of open(): nor are those that /proc does not show because their close(2) waits', async () => {
      lines.length = 0;
      const node = new HostNode('/dev/null');
      const file = node.open(() => undefined);
      node.holds(file, true);
      node.holders = () => assert.fail('asked who has the node');
      node.reportRefusal(EBUSY);
      await file.close();
      assert.deepEqual(lines, []);
      assert.match(await said({ holders: [bystander] }, EBUSY), /pipewire/);
    });

    it('with the kernel’s /proc: every program has /dev/null open, and none is named', async () => {
      lines.length = 0;
      const fd = openSync('/dev/null', 'r');
      const node = new HostNode('/dev/null');
      const found = await node.holders();
      assert.ok(found.own);
      node.reportBusy();
      await node.holders();
      for (let n = 0; n < 10; n++) await new Promise(setImmediate);
      closeSync(fd);
      assert.deepEqual(lines, []);
    });
  });

  it('whoever has files of a device hears of its return until it has them anew', async () => {
    const node = new HostNode('/dev/null');
    const heard: string[] = [];
    let errno = EMFILE;
    node.onReturn = async (path) => {
      heard.push(path);
      return errno;
    };
    assert.equal(await node.settleReturn(), 0, 'it was not away');
    node.returned('/dev/video9');
    assert.equal(await node.settleReturn(), EMFILE);
    errno = 0;
    assert.deepEqual([await node.settleReturn(), await node.settleReturn()], [0, 0]);
    assert.deepEqual(heard, ['/dev/video9', '/dev/video9']);
  });
});
