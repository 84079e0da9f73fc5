/* Draws a scene without WebGL: triangles with a depth buffer, so that no graphics card is needed. */
"use strict";
const data = JSON.parse(document.getElementById("data").textContent);
const element = (id) => document.getElementById(id);
const canvas = element("scene"), pen = canvas.getContext("2d"), SLICE = 255;
const start = { az: data.view[0], el: data.view[1], zoom: 1, x: 0, y: 0 };
const state = { ...start, skin: data.bodies.length - 1, hidden: new Set(), opacity: data.opacity, axis: null, place: 0, cut: true };
let frame = null, volume = null;

async function unpacked(text, Kind) {
  const bytes = Uint8Array.from(atob(text), (letter) => letter.charCodeAt(0));
  const stream = new Blob([bytes]).stream().pipeThrough(new DecompressionStream("deflate"));
  return new Kind(await new Response(stream).arrayBuffer());
}

const rgb = (hex) => [1, 3, 5].map((at) => parseInt(hex.slice(at, at + 2), 16));

/* A body: points in nm about the centre, faces, normals of points. */
async function load(body) {
  const packed = await unpacked(body.points, Uint16Array), n = packed.length / 3;
  body.xyz = new Float32Array(3 * n);
  for (let k = 0; k < 3 * n; k++) body.xyz[k] = body.low[k % 3] + packed[k] * body.step[k % 3] - data.centre[k % 3];
  body.faces = await unpacked(body.faces, Uint32Array);
  body.cells = body.cells ? await unpacked(body.cells, Uint32Array) : null;
  body.rgb = rgb(body.color);
  const p = body.xyz, f = body.faces, normals = new Float32Array(3 * n);
  for (let k = 0; k < f.length; k += 3) {
    const a = 3 * f[k], b = 3 * f[k + 1], c = 3 * f[k + 2];
    const ux = p[b] - p[a], uy = p[b + 1] - p[a + 1], uz = p[b + 2] - p[a + 2];
    const vx = p[c] - p[a], vy = p[c + 1] - p[a + 1], vz = p[c + 2] - p[a + 2];
    const x = uy * vz - uz * vy, y = uz * vx - ux * vz, z = ux * vy - uy * vx;
    for (const at of [a, b, c]) { normals[at] += x; normals[at + 1] += y; normals[at + 2] += z; }
  }
  for (let k = 0; k < 3 * n; k += 3) {
    const long = Math.hypot(normals[k], normals[k + 1], normals[k + 2]) || 1;
    for (let j = k; j < k + 3; j++) normals[j] /= long;
  }
  body.normals = normals;
  body.screen = new Float32Array(4 * n);
}

/* Axes of the camera: to the right, up (against z), towards the viewer. The projection is parallel. */
function camera() {
  const { az, el } = state;
  const v = [Math.cos(el) * Math.cos(az), Math.cos(el) * Math.sin(az), -Math.sin(el)];
  const r = [Math.sin(az), -Math.cos(az), 0];
  const u = [v[1] * r[2] - v[2] * r[1], v[2] * r[0] - v[0] * r[2], v[0] * r[1] - v[1] * r[0]];
  return { r, u, v };
}

function newFrame(width, height) {
  const n = width * height;
  return { width, height, depth: new Float32Array(n), kind: new Uint8Array(n), shade: new Float32Array(n),
    cell: new Int32Array(n), skinDepth: new Float32Array(n), skinFacing: new Float32Array(n), skinShade: new Float32Array(n),
    image: new ImageData(width, height) };
}

/* Place of the cut: what lies beyond `limit` along the axis, on the viewer's side, is not drawn. */
function cutting(eye) {
  if (state.axis === null || !state.cut) return null;
  const a = state.axis, side = eye.v[a] >= 0 ? 1 : -1;
  return { x: side * eye.r[a], y: side * eye.u[a], z: side * eye.v[a], limit: side * (state.place - data.centre[a]) + 1e-3 };
}

function drawBody(body, number, eye, pixel, cut, skin) {
  const { width, height, depth, kind, shade, cell } = frame;
  const near = skin ? frame.skinDepth : depth, p = body.xyz, m = body.normals, s = body.screen, f = body.faces;
  const cx = width / 2 + state.x / pixel, cy = height / 2 + state.y / pixel, { r, u, v } = eye;
  for (let k = 0, j = 0; k < p.length; k += 3, j += 4) {
    const x = p[k], y = p[k + 1], z = p[k + 2];
    s[j] = cx + (x * r[0] + y * r[1] + z * r[2]) / pixel;
    s[j + 1] = cy - (x * u[0] + y * u[1] + z * u[2]) / pixel;
    s[j + 2] = x * v[0] + y * v[1] + z * v[2];
    s[j + 3] = Math.abs(m[k] * v[0] + m[k + 1] * v[1] + m[k + 2] * v[2]);
  }
  for (let t = 0; t < f.length; t += 3) {
    const a = 4 * f[t], b = 4 * f[t + 1], c = 4 * f[t + 2];
    const ax = s[a], ay = s[a + 1], bx = s[b], by = s[b + 1], dx = s[c], dy = s[c + 1];
    const area = (bx - ax) * (dy - ay) - (by - ay) * (dx - ax);
    if (area === 0) continue;
    const left = Math.max(0, Math.ceil(Math.min(ax, bx, dx) - 0.5)), right = Math.min(width - 1, Math.floor(Math.max(ax, bx, dx) - 0.5));
    const top = Math.max(0, Math.ceil(Math.min(ay, by, dy) - 0.5)), bottom = Math.min(height - 1, Math.floor(Math.max(ay, by, dy) - 0.5));
    for (let row = top; row <= bottom; row++) {
      const y = row + 0.5;
      for (let column = left; column <= right; column++) {
        const x = column + 0.5;
        const wb = ((x - ax) * (dy - ay) - (y - ay) * (dx - ax)) / area;
        const wc = ((bx - ax) * (y - ay) - (by - ay) * (x - ax)) / area;
        if (wb < 0 || wc < 0 || wb + wc > 1) continue;
        const z = s[a + 2] + wb * (s[b + 2] - s[a + 2]) + wc * (s[c + 2] - s[a + 2]), at = row * width + column;
        if (z <= near[at]) continue;
        if (cut && (x - cx) * pixel * cut.x + (cy - y) * pixel * cut.y + z * cut.z > cut.limit) continue;
        const facing = s[a + 3] + wb * (s[b + 3] - s[a + 3]) + wc * (s[c + 3] - s[a + 3]);
        near[at] = z;
        if (skin) { frame.skinFacing[at] = facing; frame.skinShade[at] = 0.5 + 0.5 * facing; continue; }
        kind[at] = number + 1; shade[at] = 0.42 + 0.58 * facing; cell[at] = t / 3;
      }
    }
  }
}

/* The label at a place in nm, 0 outside. */
function labelAt(x, y, z) {
  const step = data.labels.voxel, [nz, ny, nx] = data.labels.shape;
  const i = Math.round(z / step), j = Math.round(y / step), k = Math.round(x / step);
  return i < 0 || j < 0 || k < 0 || i >= nz || j >= ny || k >= nx ? 0 : volume[(i * ny + j) * nx + k];
}

function drawSlice(eye, pixel) {
  const a = state.axis, { r, u, v } = eye, { width, height, depth, kind, cell } = frame;
  if (a === null || Math.abs(v[a]) < 0.02) return;
  const cx = width / 2 + state.x / pixel, cy = height / 2 + state.y / pixel, c = data.centre, level = state.place - c[a];
  for (let row = 0, at = 0; row < height; row++) {
    for (let column = 0; column < width; column++, at++) {
      const x = (column + 0.5 - cx) * pixel, y = (cy - row - 0.5) * pixel, z = (level - x * r[a] - y * u[a]) / v[a];
      if (z <= depth[at]) continue;
      const label = labelAt(x * r[0] + y * u[0] + z * v[0] + c[0], x * r[1] + y * u[1] + z * v[1] + c[1], x * r[2] + y * u[2] + z * v[2] + c[2]);
      if (label) { depth[at] = z; kind[at] = SLICE; cell[at] = label; }
    }
  }
}

function draw(scale = window.devicePixelRatio || 1) {
  if (!volume) return;
  const box = canvas.getBoundingClientRect(), began = performance.now();
  const width = Math.max(1, Math.round(box.width * scale)), height = Math.max(1, Math.round(box.height * scale));
  if (canvas.width !== width || canvas.height !== height) { canvas.width = width; canvas.height = height; }
  if (!frame || frame.width !== width || frame.height !== height) frame = newFrame(width, height);
  const pixel = 2.12 * data.reach / Math.min(width, height) / state.zoom, eye = camera(), cut = cutting(eye);
  frame.depth.fill(-Infinity); frame.skinDepth.fill(-Infinity); frame.kind.fill(0);
  data.bodies.forEach((body, number) => {
    if (!state.hidden.has(number)) drawBody(body, number, eye, pixel, cut, number === state.skin);
  });
  drawSlice(eye, pixel);
  compose();
  pen.putImageData(frame.image, 0, 0);
  drawScale(eye, pixel, scale);
  Object.assign(frame, { pixel, eye, scale, ms: performance.now() - began });
}

function compose() {
  const { kind, shade, cell, depth, skinDepth, skinFacing, skinShade, image } = frame, out = image.data;
  const skin = data.bodies[state.skin].rgb, names = data.bodies.map((body) => body.name);
  const colors = {};
  for (const [label, color] of Object.entries(data.labels.colors)) {
    const body = names.indexOf(data.labels.names[label]);
    colors[label] = body >= 0 && state.hidden.has(body) ? rgb(data.labels.plain) : rgb(color);
  }
  const voxel = data.labels.voxel; // a body that touches the skin lies below it
  for (let at = 0, k = 0; at < kind.length; at++, k += 4) {
    let c = [255, 255, 255], light = 1;
    if (kind[at] === SLICE) c = colors[cell[at]] || c;
    else if (kind[at]) { c = data.bodies[kind[at] - 1].rgb; light = shade[at]; }
    let alpha = 0, s = 0;
    if (skinDepth[at] > depth[at] - (kind[at] === SLICE ? 0 : voxel)) {
      const edge = 1 - skinFacing[at];
      alpha = Math.min(1, state.opacity * (1 + 2 * edge * edge)); s = skinShade[at];
    }
    for (let j = 0; j < 3; j++) out[k + j] = c[j] * light * (1 - alpha) + skin[j] * s * alpha;
    out[k + 3] = 255;
  }
}

/* A bar of 1, 2 or 5 times a power of ten, and the directions of the axes. */
function drawScale(eye, pixel, scale) {
  const goal = 0.2 * frame.width * pixel, power = 10 ** Math.floor(Math.log10(goal));
  const long = power * [5, 2, 1].find((one) => one * power <= goal * 1.001), left = 18 * scale, low = frame.height - 22 * scale;
  frame.bar = { nm: long, px: long / pixel };
  pen.fillStyle = "#1f2328"; pen.font = `${13 * scale}px system-ui, sans-serif`; pen.textBaseline = "middle"; pen.textAlign = "left";
  pen.fillRect(left, low, long / pixel, 5 * scale);
  pen.fillText(long >= 1000 ? `${long / 1000} µm` : `${long} nm`, left + long / pixel + 8 * scale, low + 3 * scale);
  const x = 44 * scale, y = frame.height - 78 * scale;
  pen.lineWidth = 1.5 * scale; pen.strokeStyle = "#57606a"; pen.textAlign = "center";
  ["x", "y", "z"].forEach((name, a) => {
    const dx = eye.r[a] * 26 * scale, dy = -eye.u[a] * 26 * scale;
    pen.beginPath(); pen.moveTo(x, y); pen.lineTo(x + dx, y + dy); pen.stroke();
    pen.fillText(name, x + dx * 1.35, y + dy * 1.35);
  });
}

/* What the page says of a place on the canvas, in pixels of the window. */
function told(left, top) {
  if (!frame) return "";
  const column = Math.floor(left * frame.scale), row = Math.floor(top * frame.scale), at = row * frame.width + column;
  const kind = frame.kind[at];
  if (kind === SLICE) {
    const x = (column + 0.5 - frame.width / 2) * frame.pixel - state.x, y = (frame.height / 2 - row - 0.5) * frame.pixel + state.y;
    const { r, u, v } = frame.eye, z = frame.depth[at];
    const nm = [0, 1, 2].map((a) => Math.round(x * r[a] + y * u[a] + z * v[a] + data.centre[a]));
    return `${data.labels.names[frame.cell[at]]}\nx ${nm[0]}, y ${nm[1]}, z ${nm[2]} nm`;
  }
  if (!kind) return "";
  const body = data.bodies[kind - 1], lines = [body.name];
  if (body.about) {
    const numbers = body.about.rows[body.cells[frame.cell[at]]];
    body.about.names.forEach((name, k) => lines.push(`${name}: ${numbers[k] === null ? "not known" : +numbers[k].toPrecision(4)}`));
  }
  return lines.join("\n");
}

function controls() {
  data.bodies.forEach((body, number) => {
    const label = document.createElement("label"), box = document.createElement("input"), patch = document.createElement("i");
    box.type = "checkbox"; box.checked = true; patch.style.background = body.color;
    box.onchange = () => { box.checked ? state.hidden.delete(number) : state.hidden.add(number); draw(); };
    const name = document.createElement("span"); name.textContent = body.name;
    label.append(box, patch, name); element("bodies").append(label);
  });
  const opacity = element("opacity"), axis = element("axis"), place = element("place");
  const show = () => {
    state.opacity = opacity.value / 100; element("opaque").textContent = `${opacity.value} %`;
    state.axis = axis.value === "" ? null : +axis.value; state.place = place.value * data.labels.voxel; state.cut = element("cut").checked;
    element("at").textContent = state.axis === null ? "" : `${Math.round(state.place)} nm`;
    place.disabled = element("cut").disabled = state.axis === null;
    draw();
  };
  axis.onchange = () => {
    if (axis.value !== "") {
      place.max = data.labels.shape[2 - axis.value] - 1; place.value = Math.round(data.centre[axis.value] / data.labels.voxel);
    }
    show();
  };
  opacity.value = Math.round(100 * data.opacity);
  opacity.oninput = place.oninput = element("cut").onchange = show;
  element("reset").onclick = () => { Object.assign(state, start); draw(); };
  element("save").onclick = () => {
    const link = document.createElement("a"); link.download = `${data.name}.png`; link.href = canvas.toDataURL("image/png"); link.click();
  };
  show();
}

/* While something moves, fewer pixels are drawn where a frame takes long. */
let waiting = false, rest = 0;
function soon() {
  clearTimeout(rest); rest = setTimeout(() => draw(), 180);
  if (waiting) return;
  waiting = true;
  requestAnimationFrame(() => { waiting = false; draw(frame && frame.ms > 60 ? frame.scale * 0.6 : frame.scale); });
}

function turn(dx, dy) { state.az += dx; state.el = Math.max(-1.55, Math.min(1.55, state.el + dy)); soon(); }
function zoom(by) { state.zoom = Math.max(0.3, Math.min(30, state.zoom * by)); soon(); }

function pointer() {
  let last = null;
  canvas.onpointerdown = (event) => { last = event; canvas.setPointerCapture(event.pointerId); element("said").style.display = "none"; };
  canvas.onpointerup = () => { last = null; };
  canvas.oncontextmenu = (event) => event.preventDefault();
  canvas.onpointermove = (event) => {
    if (!last) {
      const text = told(event.offsetX, event.offsetY), said = element("said");
      Object.assign(said.style, { display: text ? "block" : "none", left: `${event.offsetX + 14}px`, top: `${event.offsetY + 14}px` });
      said.textContent = text;
      return;
    }
    const dx = event.clientX - last.clientX, dy = event.clientY - last.clientY, nm = frame.pixel * frame.scale;
    if (event.buttons & 2 || event.shiftKey) { state.x += dx * nm; state.y += dy * nm; soon(); } else turn(dx * 0.008, dy * 0.008);
    last = event;
  };
  canvas.addEventListener("wheel", (event) => { event.preventDefault(); zoom(Math.exp(-event.deltaY * 0.001)); }, { passive: false });
  const keys = { ArrowLeft: [-0.1, 0], ArrowRight: [0.1, 0], ArrowUp: [0, -0.1], ArrowDown: [0, 0.1] };
  canvas.onkeydown = (event) => {
    if (keys[event.key]) turn(...keys[event.key]);
    else if (event.key === "+" || event.key === "-") zoom(event.key === "+" ? 1.15 : 1 / 1.15);
    else return;
    event.preventDefault();
  };
  window.onresize = () => draw();
}

async function begin() {
  if (typeof DecompressionStream === "undefined") {
    element("said").style.display = "block"; element("said").textContent = "This browser is too old for this page: use one of 2023 or newer.";
    return;
  }
  await Promise.all(data.bodies.map(load));
  volume = await unpacked(data.labels.data, Uint8Array);
  controls(); pointer();
  window.drawnAfterMs = performance.now();
}
window.ready = begin();
