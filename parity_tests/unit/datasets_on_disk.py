"""The public data sets as they lie on disk after download, with empty files for images and labels by a rule."""

import csv
import io
import re
from pathlib import Path

import numpy as np
import openpyxl
from scipy.io import savemat

from rankiqa.datasets import live, mlive

CSIQ_TYPES = {  # the workbook's word: (folder, the word in file names, levels)
    "noise": ("awgn", "AWGN", 5),
    "blur": ("blur", "BLUR", 5),
    "contrast": ("contrast", "contrast", 4),
    "fnoise": ("fnoise", "fnoise", 5),
    "jpeg": ("jpeg", "JPEG", 5),
    "jpeg 2000": ("jpeg2000", "jpeg2000", 5),
}


def touch(path):
    path.parent.mkdir(parents=True, exist_ok=True)
    path.touch()


def ranked(root, types, levels, names, pristine="pristine_images"):
    """<T>/<T><level>/NAME.bmp (.jpg, .jp2 for two of them) and the pristine images."""
    suffixes = {"JPEG": ".jpg", "JP2K": ".jp2"}
    for name in names:
        touch(root / pristine / f"{name}.bmp")
        for kind in types:
            for level in range(1, levels + 1):
                touch(root / kind / f"{kind}{level}" / (name + suffixes.get(kind, ".bmp")))
    return root


def tid2013(root):
    """25 x 24 x 5; names in mixed case, on disk otherwise than in the text for some."""
    lines = []
    for reference in range(1, 26):
        for kind in range(1, 25):
            for level in range(1, 6):
                stem = f"{reference:02}_{kind:02}_{level}"
                name = f"I{stem}.BMP" if reference == 4 and kind == 11 else f"i{stem}.bmp"
                touch(root / "distorted_images" / (name.upper() if reference == 7 else name))
                lines.append(f"{6.5 - level - kind / 100:.5f} {name}\n")
    (root / "mos_with_names.txt").write_text("".join(lines))
    return root


def live_labels():
    """{folder: 0 for the references' copies, else 18..84}, in the shape of LIVE2_labels.mat."""
    copies = {"gblur": 29, "wn": 29, "jpeg": 58, "jp2k": 58, "fastfading": 29}
    found = {}
    for kind, count in live.FOLDERS.items():
        values = 18 + 66 * np.linspace(0, 1, count) ** 2
        values[np.linspace(0, count - 1, copies[kind]).astype(int)] = 0
        found[kind] = values[None]
    return found


def live_release2(root, labels="dmos.mat", info=True, padded=False):
    """Five folders; labels: LIVE's own file, or upstream's."""
    root.mkdir(parents=True, exist_ok=True)
    values = live_labels()
    order = ("jp2k", "jpeg", "wn", "gblur", "fastfading")
    joined = np.concatenate([values[kind][0] for kind in order])[None]
    refnames = []
    for kind in order:
        rows = []
        for n in range(1, live.FOLDERS[kind] + 1):
            touch(root / kind / (f"img{n:03}.bmp" if padded else f"img{n}.bmp"))
            reference = f"{live.REFERENCES[n * 7 % 29]}.bmp"
            refnames.append(reference)
            rows.append(f"{reference} img{n}.bmp {n / 7:.4f}\n")
        if info:
            (root / kind / "info.txt").write_text("".join(rows[1::2] + rows[::2]))  # not in the order of the numbers
    cell = np.empty((1, len(refnames)), object)
    cell[0] = refnames
    savemat(root / "refnames_all.mat", {"refnames_all": cell})
    if labels == "dmos.mat":
        savemat(root / labels, {"dmos": joined, "orgs": (joined == 0).astype(np.uint8)})
    elif labels == "dmos_realigned.mat":
        savemat(root / labels, {"dmos_new": joined * 1.3 - 2, "orgs": (joined == 0).astype(np.uint8)})
    else:
        savemat(root / labels, values)
    return root


def workbook(path, sheets):
    """A small .xlsx of {sheet: rows}; None is an empty cell."""
    book = openpyxl.Workbook()
    book.remove(book.active)
    for name, rows in sheets.items():
        sheet = book.create_sheet(name)
        for row in rows:
            sheet.append(row)
    book.save(path)


def csiq_rows():
    """(reference, type as in the workbook, level, DMOS): 866, one reference has a contrast level less .. in all 30."""
    found = []
    for n in range(30):
        reference = str(1600 + n) if n < 2 else f"picture_{n:02}"
        for kind, (_, _, levels) in CSIQ_TYPES.items():
            for level in range(1, levels + 1):
                found.append((reference, kind, level, round(0.19 * level - 0.01 * n / 30, 3)))
    lacking = {(f"picture_{n:02}", "contrast", 4) for n in range(2, 6)}  # 870 - 4
    return [row for row in found if row[:3] not in lacking]


def csiq(root, labels="xlsx", images="dst_imgs"):
    """images: a folder with one for each type (dst_imgs), or one for all (dst_imgs_all)."""
    lines, table = [], [[None] * 3 + ["image", "dst_idx", "dst_type", "dst_lev", "dmos_std", "dmos"]]
    for reference, kind, level, dmos in csiq_rows():
        folder, word, _ = CSIQ_TYPES[kind]
        name = f"{reference}.{word}.{level}.png"
        touch(root / images / folder / name if images == "dst_imgs" else root / images / name)
        touch(root / "src_imgs" / f"{reference}.png")
        lines.append(f"{name}\t{dmos}\n")
        shown = int(reference) if reference.isdigit() else reference
        table.append([None] * 3 + [shown, 1, kind, level, 0.1, dmos])
    if labels == "xlsx":
        title = [["CSIQ"], [None, 1.5], []]
        workbook(root / "csiq.DMOS.xlsx", {"notes": [["#REF!"]], "all_by_image": title + table})
    else:
        (root / "csiq_label.txt").write_text("".join(lines))
    return root


def mlive_part(number):
    """(images, references, which of them 1.., DMOS) of a part."""
    references = [f"scene{n}.bmp" for n in range(1, 16)]
    images, made_from = [], []
    for n in range(1, 16):
        for k in range(15):
            images.append(f"scene{n}_{number}_{k}.bmp")
            made_from.append(n)
    return images, references, made_from, 20 + 60 * np.linspace(0, 1, 225)


def mlive_set(root, parts=("Part 1", "Part 2"), hdf5=False):
    """Two parts as MATLAB keeps them; hdf5: version 7.3."""
    for number, (part, kind) in enumerate(zip(parts, mlive.PARTS), start=1):
        images, references, made_from, dmos = mlive_part(number)
        for name in images + references:
            touch(root / part / kind / name)
        lists = {"distimgs": images, "refimgs": references}
        numbers = {"ref4dist": np.array(made_from, np.float64)[:, None]}
        save = _save_hdf5 if hdf5 else _save_mat
        save(root / part / "Imagelists.mat", lists, numbers)
        save(root / part / "Scores.mat", {}, {"DMOSscores": dmos[None], "Zscores": dmos[None] / 7})
    return root


def _save_mat(path, lists, numbers):
    cells = {}
    for name, texts in lists.items():
        cells[name] = np.empty((len(texts), 1), object)
        cells[name][:, 0] = texts
    savemat(path, cells | numbers)


def _save_hdf5(path, lists, numbers):
    import h5py

    with h5py.File(path, "w", userblock_size=512) as file:
        for name, values in numbers.items():
            file[name] = values.T
        for name, texts in lists.items():
            places = []
            for n, text in enumerate(texts):
                place = f"#refs#/{name}{n}"
                file[place] = np.array([[ord(letter)] for letter in text], np.uint16)
                places.append(file[place].ref)
            file.create_dataset(name, data=np.array(places, h5py.ref_dtype)[None], dtype=h5py.ref_dtype)
    with open(path, "r+b") as file:
        file.write(b"MATLAB 7.3 MAT-file".ljust(124) + b"\x00\x02IM")


def kadid10k(root):
    rows = [["dist_img", "ref_img", "dmos", "var"]]
    for reference in range(1, 82):
        touch(root / "images" / f"I{reference:02}.png")
        for kind in range(1, 26):
            for level in range(1, 6):
                name = f"I{reference:02}_{kind:02}_{level:02}.png"
                touch(root / "images" / name)
                rows.append([name, f"I{reference:02}.png", f"{5.2 - 0.8 * level + kind / 100:.2f}", "0.9"])
    write_csv(root / "dmos.csv", rows)
    return root


def koniq10k(root, labels="koniq10k_distributions_sets.csv", folder="1024x768"):
    sets = np.repeat(["training", "validation", "test"], [7058, 1000, 2015])
    np.random.RandomState(0).shuffle(sets)
    with_sets = "sets" in labels
    rows = [["image_name", "c1", "c2", "c3", "c4", "c5", "c_total", "MOS", "SD", "set" if with_sets else "MOS_zscore"]]
    for n, side in enumerate(sets):
        name = f"{10004473376 + 31 * n}.jpg"
        touch(root / folder / name)
        good = (n % 100) / 100
        mean = 2 + 2 * good  # of ratings 2 and 4
        last = side if with_sets else f"{4 + 80 * good:.6f}"
        mos = 4 + 80 * good if with_sets else mean
        rows.append([name, 0, 1 - good, 0, good, 0, 100, f"{mos:.6f}", 0.5, last])
    write_csv(root / labels, rows)
    return root


def clive(root):
    """1,162 photographs and the 7 that trained people, names in mixed case."""
    names = [f"t{n}.bmp" for n in range(1, 8)] + [f"{n}.{'bmp' if n % 3 else 'JPG'}" for n in range(3, 1165)]
    for name in names:
        touch(root / "Images" / ("trainingImages" if name.startswith("t") else "") / name.replace("JPG", "jpg"))
    (root / "Data").mkdir()
    cell = np.empty((len(names), 1), object)
    cell[:, 0] = names
    savemat(root / "Data" / "AllImages_release.mat", {"AllImages_release": cell})
    savemat(root / "Data" / "AllMOS_release.mat", {"AllMOS_release": clive_scores()[None]})
    return root


def clive_scores():
    return 3 + 90 * np.linspace(0, 1, 1169)


def spaq(root):
    rows = [["Image name", "MOS", "Brightness"]]
    for n in range(1, 11126):
        touch(root / "TestImage" / f"{n:05}.jpg")
        rows.append([f"{n:05}.jpg", 10 + n % 80 + 0.25, 50])
    (root / "Annotations").mkdir()
    workbook(root / "Annotations" / "MOS and Image attribute scores.xlsx", {"Sheet1": rows})
    return root


def write_csv(path, rows):
    text = io.StringIO()
    csv.writer(text, lineterminator="\n").writerows(rows)
    Path(path).write_text(text.getvalue())


def change(path, pattern, by, count=1):
    """Put something else into a text file where the pattern is first found."""
    text = path.read_text()
    assert re.search(pattern, text)
    path.write_text(re.sub(pattern, by, text, count=count))
