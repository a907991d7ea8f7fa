/** G/S/TRY_EXT_CTRLS in descriptor chains that the Linux driver never makes. */
import assert from 'node:assert/strict';
import { controlIoctl } from '../../src/client/control-ioctls.js';
import type { GuestDriver } from '../../src/client/guest-driver.js';
import type { Piece } from '../../src/client/pieces.js';
import { Errno } from '../../src/errno.js';
import { ioctlCommand, responseHeader } from '../../src/media/protocol.js';
import { encoded } from '../../src/struct.js';
import { extControl, extControls, Which } from '../../src/v4l2/control-layout.js';
import { Ioctl } from '../../src/v4l2/ioctls.js';
import { keepJournal, showJournal } from './support/daemon-log.js';
import { nodeNamed, provide, unload } from './support/kernel-modules.js';
import { Stage } from './support/stage.js';
import { VividControl as V } from './support/vivid.js';

const VIVID = 'vivid n_devs=1 node_types=0x1';
const { G_EXT_CTRLS: G, S_EXT_CTRLS: S, TRY_EXT_CTRLS: TRY } = Ioctl;

describe('lab: chains of controls', function () {
  this.timeout(30_000);
  let stage: Stage;
  let driver: GuestDriver;
  let session: number;

  before(async function () {
    provide(this, VIVID);
    keepJournal();
    stage = await Stage.open(nodeNamed('vivid-000-vid-cap'));
    driver = stage.driver;
    session = await driver.open();
  });
  beforeEach(keepJournal);
  afterEach(function () {
    showJournal(this.currentTest);
    stage.verify();
  });
  after(async () => {
    await stage?.close();
    unload(VIVID);
  });

  it('requests and memory that is not there are refused', async () => {
    const which = Which.REQUEST;
    const ofRequest = await controlIoctl(driver, session, G, [{ id: V.BRIGHTNESS }], { which });
    assert.equal(ofRequest.errno, Errno.EINVAL);
    for (const address of [0x10, 0x7000_0000_0000])
      for (const nr of [G, S, TRY]) {
        const answer = await raw(nr, { id: V.STRING, size: 5 }, [{ address, length: 5 }]);
        assert.deepEqual(answer, { errno: Errno.EFAULT, echoed: true });
      }
    assert.deepEqual(await raw(G, { id: V.STRING, size: 5 }, []), { errno: Errno.EINVAL, echoed: true });
    assert.deepEqual(await raw(G, { id: V.STRING, size: 0x4000_0000 }, []), {
      errno: Errno.ENOMEM,
      echoed: true,
    });
  });

  /** One control with an SG list that the client never makes. */
  async function raw(nr: number, record: { id: number; size: number }, pieces: Piece[]) {
    const list = Buffer.concat(
      pieces.map(({ address, length }) => {
        const entry = Buffer.alloc(16, 0x5a);
        entry.writeBigUInt64LE(BigInt(address));
        entry.writeUInt32LE(length, 8);
        return entry;
      }),
    );
    const header = Buffer.alloc(ioctlCommand.size);
    driver.writeIoctl(header, session, nr);
    const request = Buffer.concat([
      header,
      encoded(extControls, { count: 1 }),
      encoded(extControl, record),
      list,
    ]);
    const room = responseHeader.size + extControls.size + extControl.size;
    const answer = await driver.command(request, room);
    return { errno: responseHeader.read(answer).status, echoed: answer.length === room };
  }

  it('a writable part that is too short takes what fits', async () => {
    const header = Buffer.alloc(ioctlCommand.size);
    driver.writeIoctl(header, session, G);
    const request = Buffer.concat([
      header,
      encoded(extControls, { count: 1 }),
      encoded(extControl, { id: V.READ_ONLY }),
    ]);
    for (const room of [8, 9, 40, 45, 59]) {
      const answer = await driver.command(request, room);
      assert.equal(answer.length, room);
      assert.equal(responseHeader.read(answer).status, 0);
    }
  });
});
