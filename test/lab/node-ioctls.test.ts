/**
 * The ioctls that a webcam does not have, on nodes that have them. Errno and bytes must be the same through the bridge
 * and natively.
 */
import assert from 'node:assert/strict';
import { Errno } from '../../src/errno.js';
import { encoded } from '../../src/struct.js';
import { Ioctl, ioctls } from '../../src/v4l2/ioctls.js';
import { edid as edidRecord } from '../../src/v4l2/layout.js';
import { keepJournal, showJournal } from './support/daemon-log.js';
import { nodeNamed, provide, unload } from './support/kernel-modules.js';
import { NativeNode } from './support/native-node.js';
import { errnoOf, onStage, type Stage } from './support/stage.js';

/** Inputs: webcam, TV, S-Video, HDMI. Outputs: S-Video, HDMI. */
const MODULES = ['vivid n_devs=1', 'vicodec'];
const [TV, HDMI] = [1, 3];
const [S_INPUT, S_OUTPUT, S_HW_FREQ_SEEK] = [39, 47, 82];
const [RADIO, ANALOG_TV] = [1, 2];
const [PAL_B, NTSC_M] = [1, 0x1000];
const [VBI_CAPTURE, SLICED_CAPTURE, VIDEO_CAPTURE, VIDEO_OUTPUT] = [4, 6, 1, 2];

type Request = readonly [name: string, ...words: number[]];
interface Case {
  readonly node: string;
  /** An ioctl that is sent first, through the bridge and natively. */
  readonly first?: readonly [nr: number, value: number];
  readonly requests: readonly Request[];
}

// biome-ignore format: a table
const cases: readonly Case[] = [
  { node: 'vivid-000-vid-cap', first: [S_INPUT, TV], requests: [
    ['ENUMSTD', 0], ['ENUMSTD', 99], ['G_STD'], ['S_STD', PAL_B], ['G_STD'], ['S_STD', NTSC_M], ['S_STD', 0, 0x8000_0000], ['QUERYSTD'],
    ['G_TUNER', 0], ['G_TUNER', 9], ['S_TUNER', 0], ['S_TUNER', 9], ['G_FREQUENCY', 0], ['G_FREQUENCY', 9],
    ['S_FREQUENCY', 0, ANALOG_TV, 2804], ['S_FREQUENCY', 0, RADIO, 2804], ['G_FREQUENCY', 0],
    ['ENUM_FREQ_BANDS', 0, ANALOG_TV], ['ENUM_FREQ_BANDS', 0, ANALOG_TV, 9],
    ['ENUMAUDIO', 0], ['ENUMAUDIO', 9], ['G_AUDIO'], ['S_AUDIO', 1], ['S_AUDIO', 9],
    ['ENUMINPUT', TV], ['CROPCAP', VIDEO_CAPTURE], ['CROPCAP', VIDEO_OUTPUT], ['G_CROP', VIDEO_CAPTURE], ['S_CROP', VIDEO_CAPTURE, 0, 0, 320, 200],
    ['G_DV_TIMINGS'], ['QUERY_DV_TIMINGS'], ['ENUM_DV_TIMINGS', 0], ['DV_TIMINGS_CAP', 0],
    ['G_ENC_INDEX'], ['ENCODER_CMD', 0], ['TRY_ENCODER_CMD', 0], ['DECODER_CMD', 0], ['TRY_DECODER_CMD', 0],
    ['ENUMOUTPUT', 0], ['G_OUTPUT'], ['S_OUTPUT', 0], ['ENUMAUDOUT', 0], ['G_AUDOUT'], ['S_AUDOUT', 0],
    ['G_MODULATOR', 0], ['S_MODULATOR', 0], ['G_SLICED_VBI_CAP', 0, 0, 0],
  ] },
  { node: 'vivid-000-vid-cap', first: [S_INPUT, HDMI], requests: [
    ['ENUM_DV_TIMINGS', 0, 0], ['ENUM_DV_TIMINGS', 0, 3], ['ENUM_DV_TIMINGS', 9_999], ['DV_TIMINGS_CAP', 0], ['DV_TIMINGS_CAP', 7],
    ['G_DV_TIMINGS'], ['QUERY_DV_TIMINGS'], ['S_DV_TIMINGS', 0, 640, 480, 0, 0, 25_175_000], ['S_DV_TIMINGS', 99],
    ['G_STD'], ['S_STD', PAL_B], ['ENUMSTD', 0], ['QUERYSTD'], ['G_TUNER', 0], ['ENUMINPUT', HDMI],
  ] },
  { node: 'vivid-000-vid-out', first: [S_OUTPUT, 1], requests: [
    ['ENUMOUTPUT', 0], ['ENUMOUTPUT', 1], ['ENUMOUTPUT', 9], ['G_OUTPUT'], ['S_OUTPUT', 9], ['ENUMAUDOUT', 0], ['ENUMAUDOUT', 9],
    ['G_AUDOUT'], ['S_AUDOUT', 0], ['G_FMT', VIDEO_OUTPUT], ['ENUM_FMT', 0, VIDEO_OUTPUT], ['G_PARM', VIDEO_OUTPUT],
    ['G_SELECTION', VIDEO_OUTPUT, 0x100], ['G_DV_TIMINGS'], ['ENUM_DV_TIMINGS', 0], ['DV_TIMINGS_CAP', 0], ['QUERY_DV_TIMINGS'], ['S_INPUT', 0],
  ] },
  { node: 'vivid-000-vbi-cap', first: [S_INPUT, TV], requests: [
    ['G_SLICED_VBI_CAP', 0, 0, 0], ['G_FMT', VBI_CAPTURE], ['G_FMT', SLICED_CAPTURE], ['G_FMT', VIDEO_CAPTURE], ['TRY_FMT', VBI_CAPTURE],
    ['G_STD'], ['G_TUNER', 0], ['G_PARM', VBI_CAPTURE],
  ] },
  { node: 'vivid-000-rad-rx', requests: [
    ['G_TUNER', 0], ['G_TUNER', 1], ['S_TUNER', 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 1], ['G_FREQUENCY', 0], ['S_FREQUENCY', 0, RADIO, 1_400_000],
    ['G_FREQUENCY', 0], ['ENUM_FREQ_BANDS', 0, RADIO, 0], ['ENUM_FREQ_BANDS', 0, RADIO, 1], ['ENUM_FREQ_BANDS', 0, RADIO, 9],
    ['ENUM_FMT', 0, VIDEO_CAPTURE], ['G_FMT', VIDEO_CAPTURE], ['ENUMINPUT', 0],
  ] },
  { node: 'vivid-000-rad-tx', requests: [
    ['G_MODULATOR', 0], ['G_MODULATOR', 1], ['S_MODULATOR', 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0x11], ['G_MODULATOR', 0],
    ['G_FREQUENCY', 0], ['S_FREQUENCY', 0, RADIO, 1_500_000], ['ENUM_FREQ_BANDS', 0, RADIO, 0], ['G_TUNER', 0],
  ] },
  { node: 'stateful-encoder', requests: [
    ['TRY_ENCODER_CMD', 0], ['TRY_ENCODER_CMD', 1, 1], ['TRY_ENCODER_CMD', 99], ['ENCODER_CMD', 1], ['ENCODER_CMD', 0], ['ENCODER_CMD', 99],
    ['TRY_DECODER_CMD', 0], ['G_ENC_INDEX'],
  ] },
  { node: 'stateful-decoder', requests: [
    ['TRY_DECODER_CMD', 0], ['TRY_DECODER_CMD', 1], ['TRY_DECODER_CMD', 99], ['DECODER_CMD', 1], ['DECODER_CMD', 0], ['DECODER_CMD', 99],
    ['TRY_ENCODER_CMD', 0],
  ] },
];

const row = (name: string) => [...ioctls.values()].find((each) => each.name === name)!;

function payloadOf([name, ...words]: Request): Buffer {
  const payload = Buffer.alloc(row(name).size);
  for (const [at, value] of words.entries()) payload.writeUInt32LE(value >>> 0, at * 4);
  return payload;
}

/** These have tests of their own: EDID blocks follow the structure, and a seek changes the frequency. */
const ownTests = new Set(['G_EDID', 'S_EDID', 'S_HW_FREQ_SEEK']);
/** Rows that other files compare. */
const elsewhere =
  /^(ENUM_FMT|._FMT|TRY_FMT|.*BUFS?|STREAM(ON|OFF)|._PARM|(QUERY_?|._|TRY_)?(EXT_)?CTRLS?|QUERY(CTRL|MENU|_EXT_CTRL)|ENUMINPUT|._INPUT|ENUM_FRAME.*|(UN)?SUBSCRIBE_EVENT|._SELECTION)$/;

/**
 * V4L2_TUNER_CAP_*: the bridge does not offer read(), by which RDS blocks would come, so it hides this capability. RDS
 * by controls stays.
 */
const withoutRdsBlocks = (capability: number): number => capability & ~(capability & 0x200 ? 0x100 : 0x180);

describe('lab: ioctls of other nodes', function () {
  this.timeout(60_000);
  before(function () {
    provide(this, ...MODULES);
  });
  beforeEach(keepJournal);
  afterEach(function () {
    showJournal(this.currentTest);
  });
  after(() => unload(...MODULES));

  it('every row is compared somewhere', () => {
    const here = new Set(cases.flatMap(({ requests }) => requests.map(([name]) => name)));
    const missing = [...ioctls.values()].filter(
      ({ name }) => !here.has(name) && !ownTests.has(name) && !elsewhere.test(name),
    );
    assert.deepEqual(
      missing.map(({ name }) => name),
      [],
    );
  });

  /** Opens the node through the bridge and natively. */
  const onBoth = (node: string, play: (stage: Stage, session: number, host: NativeNode) => Promise<void>) =>
    onStage(nodeNamed(node), {}, async (stage) => {
      const session = await stage.driver.open();
      await NativeNode.with(nodeNamed(node), (host) => play(stage, session, host));
    });

  for (const { node, first, requests } of cases)
    it(`${node}${first ? `, ${first[0] === S_INPUT ? 'input' : 'output'} ${first[1]}` : ''}: ${requests.length} requests as natively`, () =>
      onBoth(node, async ({ driver }, session, host) => {
        if (first) {
          const chosen = Buffer.from([first[1], 0, 0, 0]);
          assert.equal((await host.ioctl(first[0], chosen)).errno, 0);
          await driver.ioctl(session, first[0], chosen);
        }
        let succeeded = 0;
        for (const request of requests) {
          const what = request.join(' ');
          const { nr, direction, name } = row(request[0]);
          const own = await host.ioctl(nr, payloadOf(request));
          let payload: Buffer = Buffer.alloc(0);
          const errno = await errnoOf(
            driver.ioctl(session, nr, payloadOf(request)).then((answer) => {
              payload = answer;
            }),
          );
          assert.equal(errno, own.errno, what);
          if (name.endsWith('_PARM')) own.payload.writeUInt32LE(0, 24);
          const at = { G_TUNER: 40, G_MODULATOR: 36, ENUM_FREQ_BANDS: 12 }[name];
          if (at) own.payload.writeUInt32LE(withoutRdsBlocks(own.payload.readUInt32LE(at)), at);
          if (errno === 0 && direction !== 'w')
            assert.equal(payload.toString('hex'), own.payload.toString('hex'), what);
          succeeded += errno === 0 ? 1 : 0;
        }
        assert.ok(succeeded > 1, 'everything was refused: the test says nothing');
      }));

  // vivid accepts a seek and does not change the frequency, so the test looks at the errno. On a non-blocking file it
  // would be EAGAIN.
  it('a radio seeks, though the bridge has its file non-blocking', () =>
    onBoth('vivid-000-rad-rx', async ({ driver }, session) => {
      const seek = (tuner: number) =>
        errnoOf(driver.ioctl(session, S_HW_FREQ_SEEK, payloadOf(['S_HW_FREQ_SEEK', tuner, RADIO, 1, 0])));
      assert.deepEqual([await seek(0), await seek(9)], [0, Errno.EINVAL]);
    }));

  /** On a video node the pad is the number of the input. */
  const edid = (startBlock: number, blocks: number, pad = HDMI) =>
    encoded(edidRecord, { pad, startBlock, blocks, edid: Buffer.from('0102030405060708', 'hex') });

  it('EDID: read, written and read again, as natively, with the same refusals', () =>
    onBoth('vivid-000-vid-cap', async ({ driver }, session, host) => {
      const both = async (nr: number, record: Buffer, blocks: Buffer) => {
        const own = { edid: Buffer.from(record), blocks: Buffer.from(blocks) };
        const errno = await host.submit({ kind: 'edid', nr, ...own });
        const sent = Buffer.concat([record, blocks]);
        let answer: Buffer | null = null;
        const refused = await errnoOf(
          driver.ioctl(session, nr, sent, { size: sent.length }).then((payload) => {
            answer = payload;
          }),
        );
        assert.equal(refused, errno, `${nr} of ${record.toString('hex')}`);
        if (answer)
          assert.equal(
            Buffer.from(answer).toString('hex'),
            Buffer.concat([own.edid, own.blocks]).toString('hex'),
          );
        return { errno, blocks: own.blocks };
      };
      await host.ioctl(S_INPUT, Buffer.from([HDMI, 0, 0, 0]));
      assert.equal((await both(Ioctl.G_EDID, edid(0, 0), Buffer.alloc(0))).errno, 0);
      const { errno, blocks } = await both(Ioctl.G_EDID, edid(0, 2), Buffer.alloc(256));
      assert.equal(errno, 0);
      assert.equal(blocks.toString('hex', 0, 8), '00ffffffffffff00', 'no EDID');
      await both(Ioctl.G_EDID, edid(1, 1), Buffer.alloc(128));
      await both(Ioctl.G_EDID, edid(9, 1), Buffer.alloc(128));
      for (const pad of [0, 99]) await both(Ioctl.G_EDID, edid(0, 2, pad), Buffer.alloc(256));
      await both(Ioctl.S_EDID, edid(0, 2), blocks);
      await both(Ioctl.S_EDID, edid(1, 1), blocks.subarray(128));
      await both(Ioctl.S_EDID, edid(0, 3), Buffer.alloc(3 * 128));
      assert.deepEqual((await both(Ioctl.G_EDID, edid(0, 2), Buffer.alloc(256))).blocks, blocks);
    }));
});
