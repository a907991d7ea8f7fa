import assert from 'node:assert/strict';
import { constants } from 'node:os';
import { errorExits } from '../../../src/cli/exit.js';
import { mediaFailure, nodeFailure } from '../../../src/start-error.js';
import { isAbsent, openFailureOf } from '../../../src/v4l2/open-failure.js';
import { type ProbeFile, surveyNode } from '../../../src/v4l2/survey.js';

//  errno, meaning, exit code if the node cannot be served, what `list` says, what helps if it is the media device
const rows: readonly (readonly [number, string, string, RegExp, RegExp])[] = [
  [1, 'forbidden', 'PERMISSION', /allow char-video4linux$/, /permission on its \/dev\/mediaN/],
  [2, 'absent', 'NO_DEVICE', /no such file in \/dev/, /pass its \/dev\/mediaN/],
  [5, 'other', 'IO', /cannot be opened: EIO$/, /see dmesg/],
  [6, 'gone', 'IO', /has been unplugged/, /shows none/],
  [13, 'not permitted', 'PERMISSION', /usermod -aG video/, /permission on its \/dev\/mediaN/],
  [16, 'busy', 'BUSY', /one program at a time: ffmpeg \(7\) has it open$/, /see dmesg/],
  [19, 'gone', 'IO', /has been unplugged/, /shows none/],
  [23, 'host full', 'IO', /cannot be opened: ENFILE$/, /see dmesg/],
  [24, 'process full', 'IO', /cannot be opened: EMFILE$/, /raise LimitNOFILE/],
  [25, 'no node', 'UNSUITABLE', /is no V4L2 node$/, /see dmesg/],
  [110, 'silent', 'IO', /cannot be opened: ETIMEDOUT$/, /see dmesg/],
];

const node = {
  name: 'video0',
  path: '/dev/video0',
  class: 'video',
  title: '',
  index: 0,
  driver: '',
  device: '',
  links: [],
} as const;

function fileOf(errno: number): ProbeFile {
  return {
    open: async () => errno,
    ioctl: async () => 0,
    readPayload: async () => 0,
    holders: async () => ({
      holders: [{ pid: 7, command: 'ffmpeg', maps: false }],
      hidden: false,
      own: false,
    }),
    close: () => undefined,
  };
}

describe('v4l2/open-failure', () => {
  for (const [errno, meaning, exit, reason, media] of rows)
    it(`${errno} is: ${meaning}`, async () => {
      assert.equal(openFailureOf(errno), meaning);
      assert.equal(isAbsent(errno), ['absent', 'gone'].includes(meaning));
      assert.equal(errorExits.get(nodeFailure(errno, 'what').code), exit);
      assert.match((await surveyNode(node, 'summary', fileOf(errno))).reason!, reason);
      assert.match(mediaFailure(errno, 'what', false).message, media);
    });

  it('knows no meaning of any other errno', () => {
    const known = new Set(rows.map(([errno]) => errno));
    const others = Object.values(constants.errno).filter((errno) => !known.has(errno));
    for (const errno of [0, -13, ...others]) assert.equal(openFailureOf(errno), 'other');
    assert.equal(isAbsent(0), false);
  });
});
