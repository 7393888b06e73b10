#!/usr/bin/env bash
# Brings ONNX Runtime to .ort/ beside Cargo.toml: the shared library out of the Python wheel of the same version. With
# DEVICE=cuda the one that can use a GPU, with its providers, to .ort-cuda/; it finds CUDA 13 and cuDNN 9 where the system has them.
#
# Does nothing, and says nothing, when the library is there already or ORT_DYLIB_PATH names one. The wheel is taken only
# if its SHA-256 is the one below, whichever index pip is set up to ask.
set -euo pipefail

version=1.31.1
root=$(cd "$(dirname "${BASH_SOURCE[0]}")/.." && pwd)
package=onnxruntime
target=$root/.ort

fail() {
    echo "fetch-onnxruntime: $1" >&2
    exit 1
}

if [[ -n ${ORT_DYLIB_PATH:-} ]]; then
    [[ -f $ORT_DYLIB_PATH ]] || fail "ORT_DYLIB_PATH names $ORT_DYLIB_PATH, which is no file"
    exit 0
fi

case "$(uname -s)-$(uname -m)" in
Linux-x86_64)
    platform=manylinux_2_28_x86_64
    sha256=5752bd508126ae7c49894d3b9d2e83f0c3d487319246d04c444b393308d7ad7f
    ;;
Linux-aarch64 | Linux-arm64)
    platform=manylinux_2_28_aarch64
    sha256=da05378364c44d4407e463982d2bf8d5e4cfea873283757e48beeb41df97b7f3
    ;;
*)
    fail "no wheel is pinned for $(uname -s) on $(uname -m): install ONNX Runtime $version and set ORT_DYLIB_PATH to its library"
    ;;
esac

if [[ ${DEVICE:-} == cuda ]]; then
    package=onnxruntime-gpu
    target=$root/.ort-cuda
    [[ $platform == manylinux_2_28_x86_64 ]] || fail "no wheel for a GPU is pinned for $platform"
    sha256=e26c475fe361b2015f45b4b824bd13f0bb20204e59b62814e6f0acd5f3d491a6
fi

# The stamp is written last, so a folder that has it is whole.
stamp=$target/wheel.sha256
if [[ -f $target/libonnxruntime.so && -f $stamp && $(<"$stamp") == "$sha256" ]]; then
    exit 0
fi

instead="or set ORT_DYLIB_PATH to a libonnxruntime.so of version $version"
python=$(command -v python3 || command -v python) ||
    fail "python3 with pip is needed to fetch ONNX Runtime: install it, $instead"
"$python" -m pip --version >/dev/null 2>&1 ||
    fail "pip is missing for $python: install it (Debian: apt-get install python3-pip), $instead"

work=$(mktemp -d "$root/.ort-XXXXXX")
trap 'rm -rf "$work"' EXIT

echo "fetching $package $version ($platform) into ${target##*/}/" >&2
# Any Python will do: the wheel is unpacked, not installed, so its tags are named instead of matched.
"$python" -m pip download --quiet --disable-pip-version-check --no-deps --only-binary=:all: \
    --implementation cp --python-version 3.11 --abi cp311 --platform "$platform" \
    --dest "$work" "$package==$version" >"$work/log" 2>&1 || {
    tail -n 5 "$work/log" >&2
    fail "pip could not download $package==$version: see above, check the network, $instead"
}
wheels=("$work"/*.whl)
"$python" - "${wheels[0]}" "$sha256" "$work/unpacked" <<'PYTHON' || fail "the wheel was not unpacked"
import hashlib, pathlib, sys, zipfile

wheel, wanted, out = sys.argv[1], sys.argv[2], pathlib.Path(sys.argv[3])
found = hashlib.sha256(pathlib.Path(wheel).read_bytes()).hexdigest()
if found != wanted:
    sys.exit(f"fetch-onnxruntime: {wheel} has SHA-256 {found}, not {wanted}: refused")
out.mkdir()
with zipfile.ZipFile(wheel) as archive:
    for name in archive.namelist():
        path = pathlib.PurePosixPath(name)
        if path.parts[:2] == ("onnxruntime", "capi") and path.name.startswith("libonnxruntime"):
            # One name whatever the version, so that the program need not know it.
            target = path.name.split(".so")[0] + ".so"
        elif path.name in ("LICENSE", "ThirdPartyNotices.txt") and path.parent.name == "onnxruntime":
            target = path.name
        else:
            continue
        (out / target).write_bytes(archive.read(name))
if not (out / "libonnxruntime.so").is_file():
    sys.exit(f"fetch-onnxruntime: {wheel} holds no libonnxruntime.so")
PYTHON
echo "$sha256" >"$work/unpacked/wheel.sha256"
rm -rf "$target"
mv -T "$work/unpacked" "$target"
