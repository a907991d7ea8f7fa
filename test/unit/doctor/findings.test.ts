/** What `doctor` finds on hosts that are made up: a folder as its file system, and programs that say what they are told. */
import assert from 'node:assert/strict';
import { mkdirSync, mkdtempSync, readFileSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { dirname, join } from 'node:path';
import { deviceFindings, missingFinding } from '../../../src/doctor/devices.js';
import type { Finding } from '../../../src/doctor/finding.js';
import { type Host, hostFindings } from '../../../src/doctor/host.js';
import { serviceFindings } from '../../../src/doctor/service.js';
import { vmmFindings } from '../../../src/doctor/vmms.js';
import { inPackage } from '../../../src/package.js';
import type { Survey } from '../../../src/v4l2/survey.js';

const UNITS = inPackage('udev');
const NOBODY = { holders: [], hidden: false, own: false };

describe('doctor', () => {
  let root: string;
  beforeEach(() => {
    root = mkdtempSync(join(tmpdir(), 'vmb-doctor-'));
  });
  afterEach(() => rmSync(root, { recursive: true }));

  const put = (path: string, text: string) => {
    mkdirSync(dirname(join(root, path)), { recursive: true });
    writeFileSync(join(root, path), text);
  };
  const brief = (findings: readonly Finding[]) => findings.map(({ what, state }) => `${state} ${what}`);
  const found = (findings: readonly Finding[], what: string) =>
    findings.filter((each) => each.what === what)[0]!;

  /** What is wrong has a cure and a page that exists, with the section that it names. */
  const assertHelpful = (findings: readonly Finding[]) => {
    for (const { state, found: sentence, cure, page } of findings) {
      assert.doesNotMatch(`${sentence}${cure ?? ''}`, /\.$|undefined|null|NaN/);
      assert.equal(cure === null, state === 'ok', sentence);
      assert.equal(page === null, state === 'ok', sentence);
      if (page === null) continue;
      const [path, section] = page.split('#');
      const titles = readFileSync(inPackage(path!), 'utf8').match(/^#+ .*$/gm)!;
      const anchors = titles.map((title) =>
        title
          .toLowerCase()
          .replace(/^#+ /, '')
          .replaceAll(/[^\w\- ]/g, '')
          .replaceAll(' ', '-'),
      );
      assert.ok(section === undefined || anchors.includes(section), `${page}: ${anchors.join(' ')}`);
    }
  };

  describe('the host', () => {
    const host = (more: Partial<Host> = {}): Host => ({
      root,
      release: '6.12.43+deb13-amd64',
      node: 'v20.19.2',
      loadAddon: () => Promise.resolve({}),
      ...more,
    });
    const limits = (files: string) =>
      `Limit                     Soft Limit           Hard Limit           Units\nMax open files            ${files}                ${files}               files\n`;

    it('is well', async () => {
      put('proc/self/limits', limits('1048576'));
      put('proc/sys/vm/max_map_count', '1048576\n');
      const findings = await hostFindings(host());
      assert.deepEqual(
        findings.map(({ state }) => state),
        ['ok', 'ok', 'ok', 'ok', 'ok'],
      );
      assertHelpful(findings);
    });

    it('says nothing is wrong with limits that it cannot see', async () => {
      const findings = await hostFindings(host());
      assert.ok(findings.every(({ state }) => state === 'ok'));
    });

    for (const [what, state, more] of [
      ['kernel', 'failure', { release: '4.17.19' }],
      ['kernel', 'failure', { release: '3.10.0-1160.el7.x86_64' }],
      ['kernel', 'warning', { release: '4.18.0-553.el8_10.x86_64' }],
      ['node', 'failure', { node: 'v20.18.3' }],
      ['node', 'failure', { node: 'v18.20.8' }],
    ] as const)
      it(`${Object.values(more)[0]}: ${state}`, async () => {
        const findings = await hostFindings(host(more));
        assert.equal(found(findings, what).state, state);
        assertHelpful(findings);
      });

    it('has no addon that loads: the reason in one line, and the command that builds one', async () => {
      const loadAddon = () => Promise.reject(new Error('x.node: cannot open\nRequire stack:\n- here'));
      const finding = found(await hostFindings(host({ loadAddon })), 'addon');
      assert.equal(finding.state, 'failure');
      assert.match(finding.found, /x\.node: cannot open$/);
      assert.match(finding.cure!, /npm --prefix \S+ run build:addon/);
    });

    it('has limits that are too low', async () => {
      put('proc/self/limits', limits('1024'));
      put('proc/sys/vm/max_map_count', '4096\n');
      const findings = await hostFindings(host());
      assert.equal(found(findings, 'descriptors').state, 'warning');
      assert.equal(found(findings, 'mappings').state, 'warning');
      assertHelpful(findings);
    });
  });

  describe('VMMs', () => {
    const programs =
      (said: Readonly<Record<string, string>>) =>
      (...words: readonly string[]) =>
        Promise.resolve(said[words.join(' ')] ?? null);
    const QEMU = 'qemu-system-x86_64';
    const version = (number: string) =>
      `QEMU emulator version ${number} (Debian 1:${number}+ds-1)\nCopyright`;

    it('without any: a warning, because probe works', async () => {
      const findings = await vmmFindings(programs({}));
      assert.deepEqual(brief(findings), ['warning VMM']);
      assertHelpful(findings);
    });

    for (const [name, state, said, sentence] of [
      [
        QEMU,
        'ok',
        {
          [`${QEMU} --version`]: version('11.1.50'),
          [`${QEMU} -device help`]: 'name "vhost-user-media-pci", bus PCI\nname "vhost-user-test-device-pci"',
        },
        /^11\.1\.50: .*vhost-user-media-pci/,
      ],
      [
        QEMU,
        'warning',
        {
          [`${QEMU} --version`]: version('11.1.3'),
          [`${QEMU} -device help`]: 'name "vhost-user-test-device-pci", bus PCI',
        },
        /^11\.1\.3: .*test device/,
      ],
      [
        QEMU,
        'warning',
        {
          [`${QEMU} --version`]: version('10.0.2'),
          [`${QEMU} -device help`]: 'name "vhost-user-device-pci", bus PCI',
        },
        /^10\.0\.2: /,
      ],
      [QEMU, 'warning', { [`${QEMU} --version`]: 'what?' }, /^of unknown version: /],
      [
        'crosvm',
        'ok',
        { 'crosvm version': 'crosvm 0.1.0', 'crosvm run --help': '  --vhost-user TYPE,socket=PATH' },
        /--vhost-user media/,
      ],
      [
        'crosvm',
        'warning',
        { 'crosvm version': 'crosvm 0.1.0', 'crosvm run --help': '  --vhost-user-fs PATH' },
        /has no --vhost-user$/,
      ],
      [
        'cloud-hypervisor',
        'warning',
        { 'cloud-hypervisor --version': 'cloud-hypervisor v53.0.0' },
        /53\.0\.0: takes/,
      ],
      [
        'cloud-hypervisor',
        'warning',
        { 'cloud-hypervisor --version': 'cloud-hypervisor v100.1' },
        /100\.1: takes/,
      ],
      [
        'cloud-hypervisor',
        'warning',
        { 'cloud-hypervisor --version': 'cloud-hypervisor v52.0.0' },
        /older than 53/,
      ],
    ] as const)
      it(`${name}: ${sentence.source}`, async () => {
        const findings = await vmmFindings(programs(said));
        assert.deepEqual(brief(findings), [`${state} ${name}`]);
        assert.match(findings[0]!.found, sentence);
        assertHelpful(findings);
      });
  });

  describe('devices', () => {
    const survey = (more: Partial<Survey> = {}): Survey => ({
      node: {
        ...{
          name: 'video0',
          path: '/dev/video0',
          class: 'video',
          title: 'Cam',
          index: 0,
          driver: 'uvcvideo',
        },
        ...{ device: '/sys/devices/usb1', links: ['/dev/v4l/by-id/usb-cam'] },
      },
      kind: 'capture',
      identity: { driver: 'uvcvideo', card: 'Cam', busInfo: 'usb-1', deviceCaps: 0x04200001 },
      queues: [
        { type: 1, name: 'VIDEO_CAPTURE', formats: [], memory: ['MMAP', 'USERPTR'], exportable: true },
      ],
      controls: [],
      serveable: true,
      reason: null,
      cautions: [],
      ...more,
    });

    it('one that can be served: what it is, how its frames travel, and its name', () => {
      const findings = deviceFindings(survey(), NOBODY, true);
      assert.deepEqual(brief(findings), ['ok /dev/video0', 'ok /dev/video0', 'ok /dev/video0']);
      assert.match(findings[1]!.found, /no copy, with every VMM/);
      assert.match(findings[2]!.found, /by-id/);
    });

    for (const [memory, exportable, sentence] of [
      [['MMAP'], true, /no copy with crosvm/],
      [['MMAP'], false, /copied once/],
      [[], null, /no buffers of its own/],
    ] as const)
      it(`memory ${memory} ${exportable}: ${sentence.source}`, () => {
        const queue = { ...survey().queues[0]!, memory, exportable };
        assert.match(deviceFindings(survey({ queues: [queue] }), NOBODY, true)[1]!.found, sentence);
      });

    it('one that cannot be served is a failure if it was asked for, and else a warning', () => {
      const reason = 'no permission to open it: join its group (usermod -aG video USER) or run as root';
      for (const [isAsked, state] of [
        [true, 'failure'],
        [false, 'warning'],
      ] as const) {
        const findings = deviceFindings(survey({ serveable: false, reason }), NOBODY, isAsked);
        assert.deepEqual(brief(findings), [`${state} /dev/video0`]);
        assert.equal(findings[0]!.found, 'no permission to open it');
        assert.match(findings[0]!.cure!, /^join its group/);
        assertHelpful(findings);
      }
    });

    it('cautions, and a node whose number is its only name', () => {
      const node = { ...survey().node, links: [] };
      const cautions = ['the pipeline is set up with media-ctl', 'it is both: load it otherwise'];
      const findings = deviceFindings(survey({ node, cautions }), NOBODY, true);
      assert.deepEqual(
        findings.map(({ state }) => state),
        ['ok', 'warning', 'warning', 'ok', 'warning'],
      );
      assertHelpful(findings);
    });

    it('one that another program has open', () => {
      const holders = [{ pid: 1234, command: 'ffmpeg', maps: false }];
      const findings = deviceFindings(survey(), { ...NOBODY, holders }, true);
      assert.equal(findings[2]!.found, 'open in ffmpeg (1234)');
      assert.equal(findings[2]!.state, 'warning');
      assertHelpful(findings);
    });

    it('one that is not there, and one that is no node', () => {
      for (const isThere of [true, false]) assertHelpful([missingFinding('/dev/x', isThere)]);
      assert.notEqual(missingFinding('/dev/x', true).found, missingFinding('/dev/x', false).found);
    });
  });

  describe('the service', () => {
    const files = {
      'usr/lib/udev/rules.d': '70-virtio-media-bridge.rules',
      'etc/systemd/system': 'virtio-media-bridge@.socket',
      'usr/lib/systemd/system': 'virtio-media-bridge@.service',
    };
    const install = () => {
      for (const [folder, name] of Object.entries(files))
        put(join(folder, name), readFileSync(join(UNITS, name), 'utf8'));
    };
    const state = async (expected: Finding['state'], sentence: RegExp) => {
      const findings = await serviceFindings(root, UNITS);
      assert.deepEqual(brief(findings), [`${expected} service`]);
      assert.match(findings[0]!.found, sentence);
      assertHelpful(findings);
    };

    it('is not installed, which is as well', () => state('ok', /by hand/));

    it('is installed', async () => {
      install();
      await state('ok', /are installed/);
    });

    it('is installed by halves', async () => {
      install();
      rmSync(join(root, 'etc/systemd/system/virtio-media-bridge@.socket'));
      await state('warning', /^virtio-media-bridge@\.socket not installed/);
    });

    it('is of another version: the file that counts is named', async () => {
      install();
      put('etc/systemd/system/virtio-media-bridge@.service', '[Service]\nExecStart=old\n');
      await state('warning', /etc\/systemd\/system\/virtio-media-bridge@\.service not as this version/);
    });
  });
});
