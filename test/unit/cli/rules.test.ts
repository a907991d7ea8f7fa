/** The command `rules`, and the udev rules that it prints. test/package has what udev itself says of them. */
import assert from 'node:assert/strict';
import { ExitCode } from '../../../src/cli/exit.js';
import { type NodeMatch, type RuleError, rulesOf } from '../../../src/udev-rules.js';
import { run } from './support/run.js';

const match = (more: Partial<NodeMatch>): NodeMatch => ({ name: 'cam', unplug: 'keep', ...more });

//  words of the command line, pattern of the message
const wrongUsages: readonly (readonly [words: string[], sentence: RegExp])[] = [
  [[], /--name is missing/],
  [['--name', 'cam'], /--serial or path, driver or card must be there/],
  [['--name', 'my-cam', '--driver', 'uvcvideo'], /--name may have letters, digits and _ only/],
  [['--name', '../cam', '--driver', 'uvcvideo'], /--name may have letters/],
  [['--name', '%n', '--driver', 'uvcvideo'], /--name may have letters/],
  [['--name', '', '--driver', 'uvcvideo'], /--name may have letters/],
  [['--name', 'cam', '--driver', ''], /--driver is empty/],
  [['--name', 'cam', '--serial', 'a", RUN+="x'], /--serial may have no quotation mark/],
  [['--name', 'cam', '--card', 'a\nb'], /--card may have no quotation mark, no backslash and no sign/],
  [['--name', 'cam', '--path', 'a\\x22'], /--path may have no quotation mark/],
  [['--name', 'cam', '--driver', 'a', '--index', '-1'], /--index|following: index/],
  [['--name', 'cam', '--driver', 'a', '--index', 'one'], /--index must be a number/],
  [['--name', 'cam', '--driver', 'a', '--driver', 'b'], /--driver is given twice/],
  [['--name', 'cam', '--driver', 'a', '--unplug', 'maybe'], /--unplug must be one of "keep", "stop"/],
];

describe('cli/rules', function () {
  this.timeout(60_000);

  for (const [words, sentence] of wrongUsages)
    it(`refuses ${JSON.stringify(words.join(' '))}`, () => {
      const { status, stdout, stderr } = run(['rules', ...words]);
      assert.deepEqual([status, stdout], [ExitCode.USAGE, '']);
      assert.match(stderr, sentence);
    });

  it('names a camera, and lets its socket be made when it is plugged in', () => {
    const { status, stdout } = run(['rules', '--name', 'deskcam', '--serial', '046d_*_C920_6F2B1A0F']);
    assert.equal(status, 0);
    assert.equal(
      stdout,
      'ACTION!="remove", SUBSYSTEM=="video4linux", ENV{ID_SERIAL}=="046d_*_C920_6F2B1A0F", ATTR{index}=="0", SYMLINK+="deskcam", TAG+="systemd", ENV{SYSTEMD_WANTS}+="virtio-media-bridge@deskcam.socket"\n',
    );
  });

  it('demands all that is given', () => {
    const [line] = rulesOf([match({ serial: 's', path: 'p', driver: 'd', card: 'c', index: 3 })]).split('\n');
    for (const condition of [
      'ENV{ID_SERIAL}=="s"',
      'ENV{ID_PATH}=="p"',
      'DRIVERS=="d"',
      'ATTR{name}=="c"',
      'ATTR{index}=="3"',
    ])
      assert.ok(line!.includes(condition), condition);
  });

  it('takes the name of a link of by-path for a port and the index of a node', () => {
    const line = rulesOf([match({ path: 'pci-0000:00:14.0-usb-0:2:1.0-video-index1' })]);
    assert.match(line, /ENV\{ID_PATH\}=="pci-0000:00:14\.0-usb-0:2:1\.0", ATTR\{index\}=="1"/);
  });

  it('ends what it has started, if that is asked for', () => {
    assert.match(
      rulesOf([match({ driver: 'uvcvideo', unplug: 'stop' })]),
      /SYSTEMD_WANTS\}\+="virtio-media-bridge-plugged@cam\.target"\n$/,
    );
  });

  it('gives a number to each of several', () => {
    const text = rulesOf([match({ name: 'codec%n', driver: 'hantro-vpu' }), match({ card: 'x' })]);
    assert.match(text, /SYMLINK\+="codec%n", .*@codec%n\.socket"\n.*\n$/);
  });

  it('says which key of a list is wrong', () => {
    assert.throws(
      () => rulesOf([match({ driver: 'a' }), match({ driver: '' })]),
      (error: RuleError) => error.key === 'driver',
    );
  });
});
