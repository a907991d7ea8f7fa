import assert from 'node:assert/strict';
import { native } from '../../src/native.js';
import type { Struct } from '../../src/struct.js';
import * as controls from '../../src/v4l2/control-layout.js';
import { Ioctl, ioctls } from '../../src/v4l2/ioctls.js';
import * as layout from '../../src/v4l2/layout.js';

const compiler = native.layout();
const directions = { w: 1, r: 2, wr: 3 } as const;

/** The records of layout.ts and control-layout.ts, by the structure that they describe. */
// biome-ignore lint/suspicious/noExplicitAny: records of any shape
const structures: Readonly<Record<string, Struct<any>>> = {
  v4l2_capability: layout.capability,
  v4l2_buffer: layout.buffer,
  v4l2_plane: layout.plane,
  v4l2_requestbuffers: layout.requestBuffers,
  v4l2_create_buffers: layout.createBuffers,
  v4l2_exportbuffer: layout.exportBuffer,
  v4l2_format: layout.format,
  v4l2_fmtdesc: layout.fmtdesc,
  v4l2_ext_controls: controls.extControls,
  v4l2_ext_control: controls.extControl,
  v4l2_query_ext_ctrl: controls.queryExtCtrl,
  v4l2_control: controls.control,
  v4l2_rect: controls.rect,
  v4l2_querymenu: controls.querymenu,
  v4l2_event_subscription: layout.eventSubscription,
  v4l2_event: layout.event,
  v4l2_frmsizeenum: layout.frmsizeenum,
  v4l2_frmivalenum: layout.frmivalenum,
  v4l2_streamparm: layout.streamparm,
  v4l2_pix_format_mplane: layout.pixFormatMplane,
  v4l2_plane_pix_format: layout.planePixFormat,
};

/** Fields that have another name in the kernel header, are in a union there, or do not exist in every version. */
const renamed: Readonly<Record<string, string | null>> = {
  'v4l2_ext_control.value': 'v4l2_ext_control.value64',
  'v4l2_frmsizeenum.size': null,
  'v4l2_frmivalenum.interval': null,
  'v4l2_streamparm.capability': 'v4l2_streamparm.parm.capture.capability',
  'v4l2_streamparm.mode': 'v4l2_streamparm.parm.capture.capturemode',
  'v4l2_streamparm.numerator': 'v4l2_streamparm.parm.capture.timeperframe',
  'v4l2_streamparm.denominator': 'v4l2_streamparm.parm.capture.timeperframe.denominator',
  'v4l2_streamparm.extended_mode': 'v4l2_streamparm.parm.capture.extendedmode',
  'v4l2_streamparm.readbuffers': 'v4l2_streamparm.parm.capture.readbuffers',
  'v4l2_streamparm.reserved': null,
  'v4l2_create_buffers.max_num_buffers': null,
  'v4l2_create_buffers.reserved': null,
};

const snake = (name: string) => name.replace(/[A-Z]/g, (letter) => `_${letter.toLowerCase()}`);

describe('tables and the compiler', () => {
  for (const { nr, name, direction, size } of ioctls.values()) {
    it(`VIDIOC_${name}: number, direction and size`, () => {
      assert.equal(compiler[`nr VIDIOC_${name}`], nr);
      assert.equal(compiler[`dir VIDIOC_${name}`], directions[direction]);
      assert.equal(compiler[`size VIDIOC_${name}`], size);
    });
  }

  for (const [name, nr] of Object.entries(Ioctl)) {
    it(`VIDIOC_${name} has the number that the host layer uses`, () =>
      assert.equal(compiler[`nr VIDIOC_${name}`], nr));
  }

  const masked = {
    G_PARM: 'v4l2_streamparm.parm.capture.readbuffers',
    S_PARM: 'v4l2_streamparm.parm.capture.readbuffers',
    G_TUNER: 'v4l2_tuner.capability',
    G_MODULATOR: 'v4l2_modulator.capability',
    ENUM_FREQ_BANDS: 'v4l2_frequency_band.capability',
  };
  it('the fields of which a guest does not see all bits', () => {
    const found = [...ioctls.values()].flatMap(({ name, rule }) =>
      rule?.mask ? [[name, rule.mask.at] as const] : [],
    );
    assert.deepEqual(
      Object.fromEntries(found),
      Object.fromEntries(Object.entries(masked).map(([name, key]) => [name, compiler[`offsetof ${key}`]])),
    );
  });

  for (const [structure, record] of Object.entries(structures)) {
    it(`struct ${structure}: size and the offset of every field`, () => {
      assert.equal(compiler[`sizeof ${structure}`], record.size);
      for (const [field, offset] of Object.entries(record.offset)) {
        const key = `${structure}.${snake(field)}`;
        const known = key in renamed ? renamed[key] : key;
        if (known && !/\.pad\d+$/.test(key)) assert.equal(offset, compiler[`offsetof ${known}`], known);
      }
    });
  }
});
