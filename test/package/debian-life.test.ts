/** The Debian package in a Debian with apt and nothing else: installed, upgraded, removed, purged. */
import assert from 'node:assert/strict';
import { debianPackage } from './support/debian.js';
import { type Outcome, provideRoot, SharedFolder } from './support/root.js';

const APT = 'apt-get -o Dpkg::Use-Pty=0 -qy --no-install-recommends';
/** With a network for the downloads, and without one for all that packages run. */
const install = (name: string, deb: string): string => `
  note ${name}-download ${APT} install --download-only ${deb}
  note ${name} unshare --net ${APT} install ${deb}`;

const FILES = `find / -xdev \\( -path /proc -o -path /dev -o -path /mnt -o -path /tmp \\) -prune -o -name '*media?bridge*' -print`;

describe('package: the life of the Debian package', function () {
  this.timeout(600_000);
  let shared: SharedFolder;
  let outcomes: Map<string, Outcome>;
  before(function () {
    const [old, next] = [debianPackage(this), debianPackage(this, '0.1.1')];
    provideRoot(this, 'debian');
    shared = new SharedFolder('debian');
    const [first, second] = [shared.put(old), shared.put(next)];
    outcomes = shared.run(`
      export DEBIAN_FRONTEND=noninteractive
      note update apt-get update -q
      note absent sh -c 'command -v node virtio-media-bridge'
      ${install('install', first)}
      user list virtio-media-bridge list
      user version virtio-media-bridge --version
      user serve virtio-media-bridge serve --device /dev/null --socket-path /tmp/vmb.sock
      note account id virtio-media-bridge
      note size dpkg-query --show --showformat '\${Installed-Size}' virtio-media-bridge
      echo 'VMB_OPTIONS=--log-level debug' > /etc/virtio-media-bridge/default.env
      echo 'VMB_OPTIONS=--card Desk' > /etc/virtio-media-bridge/deskcam.env
      wants=/etc/systemd/system/dev-deskcam.device.wants
      mkdir -p $wants
      ln -s /usr/lib/systemd/system/virtio-media-bridge@.socket "$wants/virtio-media-bridge@deskcam.socket"
      ${install('upgrade', second)}
      note upgraded dpkg-query --show --showformat '\${Version}' virtio-media-bridge
      user again virtio-media-bridge list
      note kept sh -c 'cat /etc/virtio-media-bridge/*.env'
      note remove ${APT} remove virtio-media-bridge
      note removed ${FILES}
      note purge ${APT} purge virtio-media-bridge
      note purged ${FILES}
      note wants ls $wants
    `);
  });
  after(() => shared?.remove());

  const passed = (name: string): string => {
    const { status, stdout, stderr } = outcomes.get(name)!;
    assert.equal(status, 0, `${name}: ${stdout}${stderr}`);
    return stdout;
  };
  const linesOf = (name: string): string[] => passed(name).split('\n').filter(Boolean);

  it('is installed by apt with Debian’s node, and no script of it needs a network', () => {
    assert.equal(outcomes.get('absent')!.stdout, '');
    for (const name of ['update', 'install-download', 'install']) passed(name);
    assert.match(passed('account'), /virtio-media-bridge/);
    assert.match(passed('account'), /\(video\)/);
  });

  it('runs for an ordinary user', () => {
    assert.match(outcomes.get('list')!.stdout + outcomes.get('list')!.stderr, /DEVICE|no V4L2 node/);
    assert.equal(outcomes.get('list')!.status, 0);
    assert.match(passed('version'), /^\d+\.\d+\.\d+\n$/);
    const { status, stderr } = outcomes.get('serve')!;
    assert.deepEqual([status, /no V4L2 node|ENOTTY/.test(stderr)], [65, true], stderr);
  });

  it('is not much larger than the npm package', () => {
    const size = Number(passed('size'));
    assert.ok(size > 10_000 && size < 30_000, `${size} KiB`);
  });

  it('keeps what the administrator wrote over an upgrade', () => {
    passed('upgrade');
    assert.equal(passed('upgraded'), '0.1.1');
    passed('again');
    assert.equal(passed('kept'), 'VMB_OPTIONS=--log-level debug\nVMB_OPTIONS=--card Desk\n');
  });

  it('leaves configuration and accounts when it is removed', () => {
    passed('remove');
    const left = linesOf('removed').filter((path) => !/^\/(etc|var\/lib\/dpkg|run|var\/cache)\//.test(path));
    assert.deepEqual(left, []);
    assert.ok(linesOf('removed').includes('/etc/virtio-media-bridge'));
  });

  it('leaves nothing when it is purged', () => {
    passed('purge');
    assert.deepEqual(linesOf('purged'), []);
    assert.notEqual(outcomes.get('wants')!.status, 0, 'the link of an enabled instance is gone too');
  });
});
