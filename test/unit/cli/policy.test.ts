/** Reading lists of controls and formats, and limits, that an operator writes. */
import assert from 'node:assert/strict';
import { policyOf } from '../../../src/cli/policy.js';
import { allows, defaultPolicy } from '../../../src/media/policy.js';

const usage = (message: RegExp) => ({ code: 'ERR_USAGE', message });
const controlsOf = (flag: 'allow' | 'deny', text: string) =>
  policyOf({ [`${flag}-controls`]: text }).controls;
const formatsOf = (flag: 'allow' | 'deny', text: string) => policyOf({ [`${flag}-formats`]: text }).formats;

const BRIGHTNESS = 0x0098_0900;
const PRIVACY = 0x009a_0910;
const BITRATE = 0x0099_09cf;
const MFC_SPECIFIC = 0x0099_1000;
const STATELESS_SPS = 0x00a4_0902;
const VIVID_DISCONNECT = 0x00f0_f041;

describe('cli/policy', () => {
  it('is the default where nothing is given', () => assert.deepEqual(policyOf({}), defaultPolicy));

  //  list, ids that it names, ids that it does not name
  for (const [text, named, others] of [
    ['0x00980900', [BRIGHTNESS], [BRIGHTNESS + 1, PRIVACY]],
    ['9963776', [BRIGHTNESS], [BRIGHTNESS + 1]],
    ['0X980900,10094864', [BRIGHTNESS, PRIVACY], [BRIGHTNESS - 1, BITRATE]],
    ['user', [BRIGHTNESS, 0x0098_0001, 0x0098_f900], [PRIVACY, VIVID_DISCONNECT]],
    ['camera,codec', [PRIVACY, BITRATE, MFC_SPECIFIC], [BRIGHTNESS, STATELESS_SPS]],
    ['codec-stateless', [STATELESS_SPS], [BITRATE]],
    ['0x00f00000', [VIVID_DISCONNECT, 0x00f0_0001], [BRIGHTNESS]],
    ['private', [MFC_SPECIFIC, VIVID_DISCONNECT, 0x0098_1000], [BRIGHTNESS, PRIVACY, 0x0098_0fff]],
    ['all', [BRIGHTNESS, PRIVACY, VIVID_DISCONNECT], []],
  ] as const)
    it(`--allow-controls and --deny-controls ${text}`, () => {
      const [allow, deny] = [controlsOf('allow', text), controlsOf('deny', text)];
      for (const id of named) assert.deepEqual([allows(allow, id), allows(deny, id)], [true, false], `${id}`);
      for (const id of others)
        assert.deepEqual([allows(allow, id), allows(deny, id)], [false, true], `${id}`);
    });

  it('a denied control is denied whatever allows it', () => {
    const { controls } = policyOf({ 'allow-controls': 'camera', 'deny-controls': `${PRIVACY}` });
    assert.deepEqual([allows(controls, PRIVACY), allows(controls, PRIVACY + 1)], [false, true]);
  });

  for (const text of [
    '',
    'brightness',
    'User',
    '0',
    '-1',
    '0x',
    '0x08000000',
    '1e3',
    '0x980900,',
    'user camera',
    '4294967296',
  ])
    for (const flag of ['allow', 'deny'] as const)
      it(`--${flag}-controls refuses ${JSON.stringify(text)}`, () =>
        assert.throws(
          () => controlsOf(flag, text),
          usage(
            /^--(allow|deny)-controls: ".*" is no control: an id such as 0x00980900 .*user, codec, camera/,
          ),
        ));

  it('formats are fourccs, filled up with spaces, -BE for big-endian', () => {
    const formats = formatsOf('allow', 'YUYV,Y16 ,Y10,Y16-BE');
    for (const code of [0x5659_5559, 0x2036_3159, 0x2030_3159, 0xa036_3159])
      assert.equal(allows(formats, code), true, code.toString(16));
    assert.equal(allows(formats, 0x3231_564e), false);
    assert.equal(allows(formatsOf('deny', 'MJPG'), 0x4750_4a4d), false);
    assert.equal(allows(formatsOf('deny', 'MJPG'), 0x5659_5559), true);
  });

  for (const text of ['', 'YUYV,', 'YUYV2', 'h\u00e9vc'])
    it(`refuses the formats ${JSON.stringify(text)}`, () => {
      assert.throws(
        () => formatsOf('allow', text),
        usage(/^--allow-formats: .*is no FOURCC: four characters/),
      );
      assert.throws(() => formatsOf('deny', text), usage(/^--deny-formats: /));
    });

  it('limits', () => {
    const given = { 'max-sessions': '1', 'max-buffers': '64', 'max-buffer-bytes': '64M' };
    const { maxSessions, maxBuffers, maxBufferBytes } = policyOf(given);
    assert.deepEqual([maxSessions, maxBuffers, maxBufferBytes], [1, 64, 64 << 20]);
    assert.equal(policyOf({ 'max-buffer-bytes': '5000000' }).maxBufferBytes, 5_000_000);
    assert.equal(policyOf({}).maxDeviceBytes, 4 * 2 ** 30);
    assert.equal(policyOf({ 'max-device-bytes': '64G' }).maxDeviceBytes, 64 * 2 ** 30);
  });

  for (const [flag, most, texts] of [
    ['max-sessions', '128', ['0', '129', '-1', '1.5', 'many', '', '0x10']],
    ['max-buffers', '64', ['0', '65', '1e1']],
    ['max-buffer-bytes', '1G', ['0', '4095', '2G', '1.5M', '64X', '']],
    ['max-device-bytes', '64G', ['0', '4095', '65G', '4 G', '']],
  ] as const)
    for (const text of texts)
      it(`refuses --${flag} ${JSON.stringify(text)}`, () =>
        assert.throws(
          () => policyOf({ [flag]: text }),
          usage(new RegExp(`^--${flag} must be .* to ${most}\\b.*, not ${text}$`)),
        ));
});
