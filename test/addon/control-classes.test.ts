/** Compares the control classes with the kernel header that the addon is compiled with. */
import assert from 'node:assert/strict';
import { readFileSync } from 'node:fs';
import {
  CLASS_MASK,
  controlClasses,
  DRIVER_PRIVATE_MASK,
  PRIVATE_BASE,
} from '../../src/v4l2/control-classes.js';

const headers = ['v4l2-controls.h', 'videodev2.h'].map((name) =>
  readFileSync(`/usr/include/linux/${name}`, 'utf8'),
);
const [controls, videodev] = headers as [string, string];

describe('control classes', () => {
  it('are all of the header', () => {
    const found = controls.matchAll(/^#define V4L2_CTRL_CLASS_(\w+)\s+(0x[0-9a-f]+)/gm);
    const listed = [...found].map(([, name, value]) => [
      name!.toLowerCase().replaceAll('_', '-'),
      Number(value),
    ]);
    assert.ok(listed.length >= 14, `${listed.length} classes`);
    assert.deepEqual({ ...controlClasses }, Object.fromEntries(listed));
  });

  it('and how ids are made of them', () => {
    assert.match(
      videodev,
      new RegExp(`V4L2_CTRL_ID2WHICH\\(id\\)\\s+\\(\\(id\\) & 0x0${CLASS_MASK.toString(16)}UL\\)`),
    );
    assert.match(videodev, /V4L2_CTRL_DRIVER_PRIV\(id\)\s+\(\(\(id\) & 0xffff\) >= 0x1000\)/);
    assert.equal(DRIVER_PRIVATE_MASK, 0xffff & ~(0x1000 - 1));
    assert.match(videodev, new RegExp(`V4L2_CID_PRIVATE_BASE\\s+0x0${PRIVATE_BASE.toString(16)}`));
  });
});
