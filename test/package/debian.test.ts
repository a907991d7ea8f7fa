/** The Debian package, judged by the tools of Debian, systemd, udev and the shells. */
import assert from 'node:assert/strict';
import { dirname, join, normalize } from 'node:path';
import { read } from '../unit/support/document.js';
import { debianPackage } from './support/debian.js';
import { type Outcome, SharedFolder } from './support/root.js';

/** systemd-analyze security, out of 10. */
const MAX_EXPOSURE = 1.5;

const SERVICE = 'virtio-media-bridge@video0.service';
const UNITS = `${SERVICE} virtio-media-bridge@video0.socket virtio-media-bridge-plugged@video0.target`;

/** Lines, and the key TAB at their end. Each becomes one other line, so the shell completes it without a question. */
const typed = [
  'virtio-media-bridge doc',
  'virtio-media-bridge serve --mmap=ar',
  'virtio-media-bridge serve --no-',
];

/** Types the lines into a zsh of its own in a pseudo-terminal, and prints what TAB has made of them. */
const ZSH = `
zmodload zsh/zpty
: > /tmp/completed
zpty shell zsh -f -i
zpty -w shell 'bindkey -e; autoload -U compinit; compinit -u -d /tmp/zcompdump; : > /tmp/ready'
repeat 100; do [[ -e /tmp/ready ]] && break; sleep 0.1; done
for line in "$@"; do
  zpty -w -n shell "$line"$'\t'
  zpty -w shell $' >> /tmp/completed\\C-aecho '
done
repeat 100; do [[ $(wc -l < /tmp/completed) = $# ]] && break; sleep 0.1; done
cat /tmp/completed
`;

describe('package: Debian', function () {
  this.timeout(600_000);
  let shared: SharedFolder;
  let outcomes: Map<string, Outcome>;
  before(function () {
    const path = debianPackage(this);
    shared = new SharedFolder('tools');
    const deb = shared.put(path);
    outcomes = shared.run(`
      note lintian lintian --tag-display-limit 0 ${deb}
      note contents dpkg-deb --contents ${deb}
      note install dpkg --install --force-confmiss ${deb}
      makewhatis
      for page in /usr/share/man/man1/virtio-media-bridge*.1.gz; do zcat "$page" > "/tmp/$(basename "$page" .gz)"; done
      note mandoc sh -c 'mandoc -T lint /tmp/virtio-media-bridge*.1'
      note man sh -c 'mandoc -T ascii /tmp/virtio-media-bridge-serve.1 | sed "s/.\\x08//g"'
      note apparmor apparmor_parser --skip-kernel-load --skip-cache --config-file=/dev/null /etc/apparmor.d/virtio-media-bridge
      note verify systemd-analyze verify ${UNITS}
      note exposure systemd-analyze security --no-pager --offline=yes ${SERVICE}
      for unplug in keep stop; do
        virtio-media-bridge rules --name cam%n --driver 'uvc*' --serial '046d_*[0-9]|x' --unplug $unplug >> /etc/udev/rules.d/75-cameras.rules
      done
      note udev udevadm verify /usr/lib/udev/rules.d/70-virtio-media-bridge.rules /etc/udev/rules.d/75-cameras.rules
      note bad-udev sh -c 'echo NONSENSE=1 > /tmp/9.rules && udevadm verify /tmp/9.rules'
      note fish fish -c 'complete -C "virtio-media-bridge serve --mmap "; echo; complete -C "virtio-media-bridge serve --sock"; echo; complete -C "virtio-media-bridge do"'
      note bash bash -c '. /usr/share/bash-completion/completions/virtio-media-bridge
        COMP_WORDS=(virtio-media-bridge serve --mmap "") COMP_CWORD=3
        _virtio_media_bridge virtio-media-bridge
        echo "\${COMPREPLY[*]}"'
      note zsh zsh -fc ${quoted(ZSH)} zsh ${typed.map(quoted).join(' ')}
      note zsh-syntax zsh -n /usr/share/zsh/vendor-completions/_virtio-media-bridge
      note capabilities sh -c '$(sed -n "s/.*\\"binary\\": \\"\\(.*\\)\\".*/\\1/p" /usr/share/virtio-media-bridge/vhost-user/50-virtio-media-bridge.json) --print-capabilities'
      note description cat /usr/share/virtio-media-bridge/vhost-user/50-virtio-media-bridge.json
      cd /usr/share/doc/virtio-media-bridge
      note pages sh -c "find . -name '*.md' -printf '%P\\n'"
      note links sh -c "grep -roE '\\]\\([^):#]+' --include=*.md . | sed 's#^\\./##; s#:](# #'"
      user list virtio-media-bridge list
    `);
  });
  after(() => shared?.remove());

  const passed = (name: string): string => {
    const { status, stdout, stderr } = outcomes.get(name)!;
    assert.equal(status, 0, `${name}: ${stdout}${stderr}`);
    return stdout;
  };

  it('has nothing that lintian complains of', () => {
    assert.doesNotMatch(passed('lintian'), /^[EW]:/m);
  });

  it('installs', () => {
    passed('install');
    assert.equal(outcomes.get('list')!.status, 0, outcomes.get('list')!.stderr);
  });

  it('has no file of the group or of others to write to, and all are root’s', () => {
    for (const line of passed('contents').trim().split('\n')) {
      const [mode = '', owner] = line.split(/\s+/);
      assert.equal(owner, 'root/root', line);
      if (!mode.startsWith('l')) assert.match(mode, /^.....-..-.$/, line);
    }
  });

  it('has manual pages that mandoc finds no fault in', () => {
    assert.equal(passed('mandoc'), '');
    assert.match(passed('man'), /--mmap auto \| arena \| direct\n/);
  });

  it('has a profile that AppArmor reads', () => {
    passed('apparmor');
  });

  it('has units that systemd finds no fault in, and that expose little', () => {
    assert.equal(passed('verify') + outcomes.get('verify')!.stderr, '');
    const [, exposure] = /Overall exposure level for \S+: ([\d.]+)/.exec(passed('exposure'))!;
    assert.ok(Number(exposure) < MAX_EXPOSURE, exposure);
  });

  it('has udev rules that udev finds no fault in, the printed ones too', () => {
    assert.match(passed('udev'), /Success: 2\s+Fail: +0/);
    assert.notEqual(outcomes.get('bad-udev')!.status, 0);
  });

  it('completes in bash', () => {
    assert.equal(passed('bash'), 'auto arena direct\n');
  });

  it('completes in fish', () => {
    const [values, options, names] = passed('fish').split('\n\n');
    assert.deepEqual(words(values!), ['arena', 'auto', 'direct']);
    assert.deepEqual(words(options!), ['--socket-group', '--socket-mode', '--socket-path', '--socket-user']);
    assert.deepEqual(words(names!), ['doctor']);
  });

  it('completes in zsh', () => {
    passed('zsh-syntax');
    assert.deepEqual(lines(passed('zsh')), [
      'virtio-media-bridge doctor',
      'virtio-media-bridge serve --mmap=arena',
      'virtio-media-bridge serve --no-shm',
    ]);
  });

  it('describes itself to management software, and answers as its description says', () => {
    const { type, binary } = JSON.parse(passed('description'));
    assert.deepEqual([type, binary], ['media', '/usr/bin/virtio-media-bridge']);
    assert.equal(JSON.parse(passed('capabilities')).type, type);
  });

  it('has all pages that its README and docs link to, but for tests and the license', () => {
    const pages = new Set(passed('pages').trim().split('\n'));
    const broken = passed('links')
      .trim()
      .split('\n')
      .map((line) => line.split(' '))
      .map(([page = '', target = '']) => normalize(join(dirname(page), target)))
      .filter((target) => target.endsWith('.md') && !/^\.\/?(test|node_modules)\//.test(`./${target}`));
    assert.ok(broken.length > 10);
    assert.deepEqual(
      broken.filter((target) => !pages.has(target) && target !== 'CHANGELOG.md'),
      [],
    );
  });

  it('demands what docs/installation.md says', () => {
    const control = read('package/debian/control');
    const needs = read('docs/installation.md');
    const [, node] = /nodejs \(>= ([\d.]+)\)/.exec(control)!;
    const [, libc] = /libc6 \(>= ([\d.]+)\)/.exec(control)!;
    const [, gcc] = /libstdc\+\+6 \(>= (\d+)\)/.exec(control)!;
    assert.ok(needs.includes(`| Node | ${node} |`));
    assert.ok(needs.includes(`\`GLIBC_${libc}\``));
    assert.ok(needs.includes(`GCC ${gcc} `));
  });
});

const quoted = (text: string): string => `'${text.replaceAll("'", "'\\''")}'`;

const lines = (text: string): string[] =>
  text
    .trim()
    .split('\n')
    .map((line) => line.trim());

/** The first word of each line. */
const words = (text: string): string[] =>
  text
    .trim()
    .split('\n')
    .map((line) => line.split('\t')[0]!)
    .sort();
