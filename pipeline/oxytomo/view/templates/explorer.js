"use strict";
for (const root of document.querySelectorAll(".explorer")) {
  const data = JSON.parse(root.querySelector(".copy").textContent);
  const [nz, ny, nx] = data.shape;
  const size = { z: nz, y: ny, x: nx };
  const at = {};
  const volumes = {};
  const panel = root.querySelector(".interactive");
  const axes = { z: ["x", "y"], y: ["x", "z"], x: ["y", "z"] };
  let layer = Object.keys(data.layers)[0];

  const load = (key) => new Promise((done) => {
    const image = new Image();
    image.onload = () => {
      const sheet = document.createElement("canvas");
      sheet.width = image.width;
      sheet.height = image.height;
      const context = sheet.getContext("2d", { willReadFrequently: true });
      context.drawImage(image, 0, 0);
      const pixels = context.getImageData(0, 0, image.width, image.height).data;
      const columns = image.width / nx;
      const volume = new Uint8Array(nz * ny * nx);
      for (let z = 0, i = 0; z < nz; z++) {
        const top = Math.floor(z / columns) * ny, left = (z % columns) * nx;
        for (let y = 0; y < ny; y++)
          for (let x = 0; x < nx; x++, i++) volume[i] = pixels[4 * ((top + y) * image.width + left + x)];
      }
      volumes[key] = volume;
      done();
    };
    image.src = "data:image/png;base64," + data.layers[key].png;
  });

  const value = (key, z, y, x) => volumes[key][(z * ny + y) * nx + x];

  const said = (key, byte) => {
    const about = data.layers[key];
    if (about.labels.length) return about.labels[byte];
    if (byte === 0) return "no value";
    const number = 100 * (about.low + (byte - 1) / 254 * (about.high - about.low));
    const edge = byte === 255 ? "≥ " : byte === 1 && about.low < 0 ? "≤ " : "";
    return edge + number.toFixed(1).replace("-", "−") + " %";
  };

  const draw = (axis) => {
    const canvas = root.querySelector(`canvas[data-axis=${axis}]`);
    const [across, down] = axes[axis];
    const context = canvas.getContext("2d");
    canvas.width = size[across];
    canvas.height = size[down];
    const image = context.createImageData(canvas.width, canvas.height);
    const colors = data.layers[layer].colors;
    const place = { z: at.z, y: at.y, x: at.x };
    for (let row = 0, i = 0; row < canvas.height; row++)
      for (let column = 0; column < canvas.width; column++, i += 4) {
        place[across] = column;
        place[down] = row;
        const color = colors[value(layer, place.z, place.y, place.x)];
        image.data[i] = color[0];
        image.data[i + 1] = color[1];
        image.data[i + 2] = color[2];
        const cross = (column === at[across]) !== (row === at[down]);
        image.data[i + 3] = cross ? 195 : 255;
      }
    context.putImageData(image, 0, 0);
  };

  const um = (axis) => (data.origin_um["zyx".indexOf(axis)] + at[axis] * data.voxel_um).toFixed(2);

  const show = () => {
    for (const axis of "zyx") {
      draw(axis);
      root.querySelector(`output[data-place=${axis}]`).textContent = um(axis);
    }
    const about = data.layers[layer];
    const bar = root.querySelector(".bar"), ends = root.querySelector(".ends");
    root.querySelector(".scale").hidden = about.labels.length > 0;
    const context = bar.getContext("2d");
    for (let i = 1; i < 256; i++) {
      context.fillStyle = `rgb(${(about.colors[i] || [0, 0, 0]).join(",")})`;
      context.fillRect(i, 0, 1, 12);
    }
    const ended = (number) => (100 * number).toFixed(0).replace("-", "−") + " %";
    ends.textContent = `${ended(about.low)} to ${ended(about.high)}`;
    const here = Object.keys(data.layers).map(
      (key) => `${data.layers[key].name} ${said(key, value(key, at.z, at.y, at.x))}`);
    root.querySelector(".reading").textContent =
      `At x = ${um("x")}, y = ${um("y")}, z = ${um("z")} µm: ${here.join(", ")}.`;
  };

  const move = (axis, to) => {
    at[axis] = Math.max(0, Math.min(size[axis] - 1, Math.round(to)));
    root.querySelector(`[data-slider=${axis}]`).value = at[axis];
  };

  for (const axis of "zyx") {
    const slider = root.querySelector(`[data-slider=${axis}]`);
    at[axis] = Number(slider.value);
    slider.addEventListener("input", () => { move(axis, Number(slider.value)); show(); });
    const canvas = root.querySelector(`canvas[data-axis=${axis}]`);
    const jump = (event) => {
      if (!(event.buttons & 1)) return;
      const box = canvas.getBoundingClientRect(), [across, down] = axes[axis];
      move(across, (event.clientX - box.left) / box.width * size[across] - 0.5);
      move(down, (event.clientY - box.top) / box.height * size[down] - 0.5);
      show();
    };
    canvas.addEventListener("pointerdown", jump);
    canvas.addEventListener("pointermove", jump);
  }
  for (const choice of root.querySelectorAll("input[name=layer]"))
    choice.addEventListener("change", () => { layer = choice.value; show(); });
  Promise.all(Object.keys(data.layers).map(load)).then(() => { panel.hidden = false; show(); });
}
