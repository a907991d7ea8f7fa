/**
 * The recipe of the container image. There need not be a container engine: the steps are carried out in a Debian with apt
 * and nothing else, and then its command runs as its user with one device.
 */
import assert from 'node:assert/strict';
import { read } from '../unit/support/document.js';
import { debianPackage } from './support/debian.js';
import { type Outcome, provideRoot, SharedFolder } from './support/root.js';

/** The instructions of the recipe, continued lines joined. */
function instructions(): (readonly [name: string, rest: string])[] {
  const lines = read('package/Dockerfile')
    .split('\n')
    .filter((line) => line !== '' && !line.startsWith('#'));
  return lines
    .join('\n')
    .replaceAll(/\\\n */g, '')
    .split('\n')
    .map((line) => [line.split(' ')[0]!, line.slice(line.indexOf(' ') + 1)]);
}

const given = new Map(instructions());
const command = [...JSON.parse(given.get('ENTRYPOINT')!), ...JSON.parse(given.get('CMD')!)] as string[];

//  Instruction -> lines of shell that do the same. Those without lines are for an engine only.
const steps: Readonly<Record<string, (rest: string) => string>> = {
  FROM: () => '',
  COPY: (rest) => {
    const [from, to] = rest.split(' ');
    return `mkdir -p ${to} && cp /mnt/${from} ${to}`;
  },
  RUN: (rest) => `note step sh -c ${quoted(rest)}`,
  USER: () => '',
  VOLUME: () => '',
  ENTRYPOINT: () => '',
  CMD: () => '',
};

const quoted = (text: string): string => `'${text.replaceAll("'", "'\\''")}'`;

describe('package: container', function () {
  this.timeout(600_000);
  let shared: SharedFolder;
  let outcomes: Map<string, Outcome>;
  before(function () {
    const path = debianPackage(this);
    provideRoot(this, 'debian');
    shared = new SharedFolder('debian');
    shared.put(path);
    const as = `setpriv --reuid=${given.get('USER')} --regid=${given.get('USER')} --groups=44 --bounding-set=-all --no-new-privs`;
    // The folder /dev is this machine's.
    const onDevice = command.join(' ').replace('/dev/video0', '/srv/video0');
    outcomes = shared.run(`
      export DEBIAN_FRONTEND=noninteractive
      ${instructions()
        .map(([name, rest]) => steps[name]!(rest))
        .join('\n')}
      note systemd sh -c 'command -v systemctl'
      note whoami ${as} id -un
      note absent ${as} ${command.join(' ')}
      mknod -m 660 /srv/video0 c 1 3
      chgrp 44 /srv/video0
      note device ${as} ${onDevice}
      chmod 600 /srv/video0
      note refused ${as} ${onDevice}
      note socket ${as} sh -c ': > /run/virtio-media-bridge/a && echo can'
      note elsewhere ${as} sh -c ': > /etc/a'
    `);
  });
  after(() => shared?.remove());

  it('has only instructions that this test carries out', () => {
    assert.deepEqual(
      instructions().filter(([name]) => !(name in steps)),
      [],
    );
  });

  it('is made without systemd', () => {
    const { status, stdout, stderr } = outcomes.get('step')!;
    assert.equal(status, 0, stdout + stderr);
    assert.notEqual(outcomes.get('systemd')!.status, 0);
  });

  it('runs as a user that is not root', () => {
    assert.equal(outcomes.get('whoami')!.stdout.trim(), 'virtio-media-bridge');
    assert.equal(outcomes.get('socket')!.stdout, 'can\n');
    assert.notEqual(outcomes.get('elsewhere')!.status, 0);
  });

  it('wants one device, which its group may open', () => {
    assert.equal(outcomes.get('absent')!.status, 66, outcomes.get('absent')!.stderr);
    assert.match(outcomes.get('absent')!.stderr, /\/dev\/video0/);
    // The file stands in for a camera: what is not V4L2 is refused when it is open.
    assert.equal(outcomes.get('device')!.status, 65, outcomes.get('device')!.stderr);
    assert.equal(outcomes.get('refused')!.status, 77, outcomes.get('refused')!.stderr);
  });
});
