/** The program where `npm install --global --prefix /usr/local` puts it. */

export const ROOT = '/usr/local/lib/node_modules/virtio-media-bridge';

/** A command that makes an ioctl: without an addon it cannot. */
const SERVE_WORDS = 'serve --device /dev/null --socket-path /tmp/vmb.sock';
export const SERVE = `virtio-media-bridge ${SERVE_WORDS}`;

const traced = `
  const open = process.dlopen;
  process.dlopen = (module, path, ...rest) => {
    console.log(path);
    return open(module, path, ...rest);
  };
  process.argv = ['node', 'virtio-media-bridge', ...'${SERVE_WORDS}'.split(' ')];
  import('${ROOT}/dist/bin/cli.js');
`;
/** A line of shell that runs SERVE and prints the path of each addon that it loads. */
export const WHICH = `node -e "${traced.replaceAll('\n', ' ')}"`;
