"""`save` and `load`: round trips, PyTorch's own files, and files that are damaged or mean harm."""
import argparse
import base64
import collections
import io
import os
import pickle
import random
import struct
import zipfile

import numpy as np
import pytest
import tiny_torch as torch


def round_trip(value, **options):
    buffer = io.BytesIO()
    torch.save(value, buffer)
    buffer.seek(0)
    return torch.load(buffer, **options)


@pytest.mark.parametrize("dtype", "float32 float64 float16 bfloat16 int64 int32 int16 int8 uint8 bool".split())
def test_every_dtype(dtype):
    value = torch.arange(6).reshape(2, 3).to(getattr(torch, dtype))
    again = round_trip(value)
    assert again.dtype == value.dtype and again.tolist() == value.tolist()


def test_plain_data():
    value = {
        "list": [1, 2.5, None, True, "text", b"bytes", (1, 2), 2**70, -1, 3 + 4j],
        "dict": collections.OrderedDict(a=1),
        "set": {1, 2},
        "counter": collections.Counter("aab"),
        "bytearray": bytearray(b"xyz"),
        "long text": "ü" * 300,
        5: "number as key",
        "size": torch.Size([2, 3]),
        "dtype": torch.float16,
        "device": torch.device("cpu"),
    }
    assert round_trip(value) == value


def test_sharing_and_layout():
    base = torch.arange(12.0).reshape(3, 4)
    again = round_trip({"base": base, "t": base.t(), "row": base[1], "step": base[:, ::2], "same": base})
    assert again["t"].tolist() == base.t().tolist() and again["t"].stride() == base.t().stride()
    assert again["step"].tolist() == base[:, ::2].tolist()
    again["base"].fill_(7)
    assert again["row"].tolist() == [7] * 4 and again["t"][0, 0] == 7 and again["same"] is again["base"]


def test_a_slice_brings_its_storage():
    again = round_trip(torch.arange(100)[10:12])
    assert again.tolist() == [10, 11] and again.storage_offset() == 10


def test_requires_grad_and_empty_and_scalar():
    leaf = round_trip(torch.ones(2, requires_grad=True))
    assert leaf.requires_grad and leaf.is_leaf
    assert round_trip(torch.zeros(0, 3)).shape == (0, 3)
    assert round_trip(torch.tensor(2.5)).item() == 2.5


def test_module_state():
    model = torch.nn.Sequential(torch.nn.Linear(3, 4), torch.nn.BatchNorm1d(4))
    state = round_trip(model.state_dict())
    assert list(state) == list(model.state_dict()) and state._metadata == model.state_dict()._metadata
    twin = torch.nn.Sequential(torch.nn.Linear(3, 4), torch.nn.BatchNorm1d(4))
    twin.load_state_dict(state)
    assert twin[0].weight.tolist() == model[0].weight.tolist()
    parameter = round_trip(model[0].weight)
    assert isinstance(parameter, torch.nn.Parameter) and parameter.requires_grad


def test_optimizer_state():
    weight = torch.nn.Parameter(torch.ones(3))
    optimizer = torch.optim.Adam([weight], lr=0.1)
    (weight * 2).sum().backward()
    optimizer.step()
    state = round_trip(optimizer.state_dict())
    assert state["param_groups"] == optimizer.state_dict()["param_groups"]
    assert state["state"][0]["exp_avg"].tolist() == optimizer.state_dict()["state"][0]["exp_avg"].tolist()


def test_whole_module():
    model = torch.nn.Sequential(torch.nn.Linear(3, 4), torch.nn.ReLU())
    buffer = io.BytesIO()
    torch.save(model, buffer)
    buffer.seek(0)
    with pytest.raises(pickle.UnpicklingError, match="Unsupported global"):
        torch.load(buffer)
    buffer.seek(0)
    twin = torch.load(buffer, weights_only=False)
    x = torch.ones(2, 3)
    assert twin(x).tolist() == model(x).tolist() and repr(twin) == repr(model)


class Net(torch.nn.Module):
    def __init__(self):
        super().__init__()
        self.layer = torch.nn.Linear(2, 2)

    def forward(self, x):
        return self.layer(x)


def test_whole_module_of_the_program():
    model = Net()
    twin = round_trip({"model": model, "args": argparse.Namespace(lr=0.1)}, weights_only=False)
    assert isinstance(twin["model"], Net) and twin["args"].lr == 0.1
    assert twin["model"].layer.weight.tolist() == model.layer.weight.tolist()


def test_numpy_data():
    value = {"a": np.arange(6.0).reshape(2, 3), "f": np.asfortranarray(np.ones((2, 2), np.float32)), "s": np.float64(2.5), "i": np.int64(3)}
    again = round_trip(value)
    assert again["a"].tolist() == value["a"].tolist() and again["f"].dtype == np.float32
    assert again["s"] == 2.5 and again["i"] == 3 and type(again["i"]) is np.int64


@pytest.mark.parametrize("protocol", [2, 3, 4, 5])
def test_protocols(protocol):
    buffer = io.BytesIO()
    torch.save({"x": torch.ones(2), "d": torch.float32, "s": torch.Size([1])}, buffer, pickle_protocol=protocol)
    buffer.seek(0)
    assert torch.load(buffer)["x"].tolist() == [1, 1]


def test_map_location():
    buffer = io.BytesIO()
    torch.save(torch.ones(2), buffer)
    seen = []

    def where(storage, location):
        seen.append(location)
        return storage

    for place in ("cpu", torch.device("cpu"), {"cuda:0": "cpu"}, where, lambda storage, location: None):
        buffer.seek(0)
        assert torch.load(buffer, map_location=place).tolist() == [1, 1]
    assert seen == ["cpu"]
    data = bytearray(buffer.getvalue())
    cuda = rewrite(data, lambda text: text.replace(b"X\x03\0\0\0cpu", b"X\x06\0\0\0cuda:0"))
    with pytest.raises(RuntimeError, match="Attempting to deserialize object on a CUDA device"):
        torch.load(io.BytesIO(cuda))
    assert torch.load(io.BytesIO(cuda), map_location="cpu").tolist() == [1, 1]


def test_safe_globals():
    value = {"when": Mark(3)}
    with pytest.raises(pickle.UnpicklingError, match="add_safe_globals"):
        round_trip(value)
    with torch.serialization.safe_globals([Mark]):
        assert round_trip(value)["when"].x == 3
    with pytest.raises(pickle.UnpicklingError):
        round_trip(value)
    torch.serialization.add_safe_globals([Mark])
    assert Mark in torch.serialization.get_safe_globals() and round_trip(value)["when"].x == 3
    torch.serialization.clear_safe_globals()


class Mark:
    def __init__(self, x):
        self.x = x


# Files


def test_a_failed_save_leaves_the_old_file(tmp_path):
    path = tmp_path / "x.pt"
    torch.save(torch.ones(2), path)
    with pytest.raises(Exception):
        torch.save({"x": torch.zeros(2), "bad": lambda: 0}, path)
    assert torch.load(path).tolist() == [1, 1] and os.listdir(tmp_path) == ["x.pt"]


def test_save_keeps_mode_and_links(tmp_path):
    target, link = tmp_path / "target.pt", tmp_path / "link.pt"
    torch.save(1, target)
    os.chmod(target, 0o640)
    os.symlink(target, link)
    torch.save(2, link)
    assert torch.load(target) == 2 and os.path.islink(link) and os.stat(target).st_mode & 0o777 == 0o640


def test_bad_paths(tmp_path):
    with pytest.raises(FileNotFoundError):
        torch.load(tmp_path / "missing.pt")
    with pytest.raises(RuntimeError, match="does not exist"):
        torch.save(1, tmp_path / "no" / "such" / "folder.pt")
    with pytest.raises(AttributeError, match="write"):
        torch.save(1, 5)
    with pytest.raises(AttributeError, match="read"):
        torch.load(5)


def test_mmap(tmp_path):
    torch.save({"x": torch.arange(1000)}, tmp_path / "x.pt")
    assert torch.load(tmp_path / "x.pt", mmap=True)["x"].sum() == 499500
    with pytest.raises(ValueError, match="file name"):
        torch.load(io.BytesIO(b""), mmap=True)


# PyTorch's own files, written by PyTorch 2.15:
#   value = {"w": torch.arange(6.).reshape(2, 3), "t": <w>.t(), "n": [1, "x"], "h": torch.tensor([1.5], dtype=torch.bfloat16)}
#   torch.save(value, file); torch.save(value, file, _use_new_zipfile_serialization=False)

ZIP = (
    'P)h>@000OG00000000000000000000000mG5&&UxV`yo1WiMo5bYU)VYiveB4ggwOT3T9KT3T9KT3T9KfC7DS04P`i0001YaRFm=Z*pU3E?;$Y'
    'X>4-}Uvgz)b!lv5Uvy<|b8m8Ab}|Za0w^e02LJ#7b98TVVP|D=17mb=a${%;Mr?0kbW?P1a$#p>3ULHj0RR91FmVM~0{{R3V{mnG21^EXaR*UL'
    '080W(1BP)3O9M**hH(jrV`Fb@Y-M9~X>V?G3QuxmWpZU?L}_Dm3ULZ4QgI7(aST#%4OjsH004Ax4rl@>C};y{1ZV|l21^EXaSu^T080Z)0)}xA'
    'O94v*hH(*zXbLG(aT0WK6H;*$SOEY40B&&=U2zsDO95B`0001ZaTjG+0RR91XmJ>50w^eG17mb=a${%;LPl(FVRSJzQ*>`~VP|CuaT!<v0000n'
    'aT;g_O96Co8&OLDO96#(97_R(aUF?h3Mo=?9&~XZQgI-4E>KGc2=Zkg)kOgS07U@+08mQ<1ONaC2mk;80000000000000000000N05$+&a${&|'
    'c4aRvW^ZzBVRT=1WpZ<AZ*E3HG5}gyT3T9KT3T9KT3T9KT3T9KT3T9KT3T9KT3T9KT3T9KT3T9KT3T9KT3T9KT3T9KF;Ghf2)FOtg8={l00961'
    '08mQ<1ONaC2mk;80000000000000000000Q05<?(a${&|c4aRvb98TVVP|DuVQgt<Zf#|5bVfom09smFT3T9KT3T9KT3T9KT3T9KT3T9KT3T9K'
    'T3T9KT3T9KT3T9KT3T9KT3T9KT3T9KHZ)L62M9lRap?j800062002-+0|Wp72nYZG000000000000000000005dc2`VRB<=X?A5VVtI6BZ*pX1'
    'az;Ws09smFT3T9KT3T9KT3T9KT3T9KT3T9KT3T9KT3T9KT3T9KT3T9KT3T9KT3T9KT3T9KT3T9KT3T9KY-x0KY-LbO2MC2d;~543000I6002-+'
    '0|Wp72nYZG000000000000000000004gfv?VRB<=X?A5VWMOn+FEB<zIsjT)T3T9KT3T9KT3T9KT3T9KT3T9KT3T9KT3T9KT3T9KT3T9KT3T9K'
    'T3T9KT3T9KT3T9KT3T9K00000004kL0000$002Nh004kM005vsP)i307m(+X7ytkO7ytkOP)h>@000OG00000000000000000000000gEEC6A0'
    'V`yo1WiMo5bYU+sMnWh6T3T9KT3T9KT3T9KT3T9KT3T9KT3T9KT3T9KT3T9KT3T9KT3T9Kz&}t+2MCPlMLYrk00062002-+0|Wp72nYZG00000'
    '0000000000000004*)>`VRB<=X?A5Vc4cyNX>V>uLOlRlT3T9KT3T9KT3T9KT3T9KT3T9KT3T9KT3T9KT3T9KT3T9KT3T9KT3T9KT3T9KT3T9K'
    'T3T9KT3T9KGYU{k2ME!gXH^0K00062002-+0|Wp72nYZG000000000000000000009sn``VRB<=X?A5VE@WYJVJ~xKa%o{~X?kIFX>V>{X=Fx1'
    'E&y6uT3T9KT3T9KT3T9KT3T9KT3T9KT3T9KT3T9KT3T9KT3T9KT3T9KT3T9KFf}$YF)%naGBY+YIW{*iH8MFgFfcPWF*h+XIXF2qGB7zcF*P$d'
    'P)i30^N<k-C;$KeC;$KeP)h*<000002nYZG00000@?{^@MF9W+MF9W+5C8xG000000000000000003cfV`yo1WiMo5bYU)VYiv+U0RjL3000OG'
    '00000006h|+=BrC00031000*N000000000000000l>q<%VRB<=X?A5VE@p3XZDDj@c4cyNX>V>&O927^000082mk;80000#cX8<g000020000Q'
    '00000000000000001*NJ0AX@tXlZt3FD`R*Z*pO0WnW=zX=iS2Wo~p(O927^000082mk;80001mJ>wY$000060000H0000000000000000FnX#'
    '0AX@tXlZt3FJgIgWp8q1WpYqU0RjL3000OG00000000+|=aCoy000;O000gE00000000000000076SkPVRB<=X?A5VWMOn+FECI`0RjL3000OG'
    '00000004~WMLYrk00062000gE000000000000000r~?21VRB<=X?A5VWMOn+FELO{0RjL3000OG00000007aRXH^0K00062000jF0000000000'
    '000005(EGMVRB<=X?A5Vc4cyNX>V>&O927^000082mk;80002<kP!zc0000e0000U0000000000000000Fnd%0AX@tXlZt3FD_(ZbYU-ZWpZg@'
    'Y-xI7bZKvHUuk4eO9lok000000000U11$gm00000000080000000008000000000B0ssI20000u1poj50000`O9lr30000(2LJ#7000010000`'
    'O9ci10000800;mJ0ssIw1poj500'
)
LEGACY = (
    'fC7pNZ2X)?`5<bjP#G?O0!`@yE`S1kaR4Y-5C8xGaB^>SZ)0z4Uv_13b7^mGaRE)~16U0J003-hbaZTGUuAA&X<=@00*F`&0001Vd2nT4b7^{I'
    'b8!QGaRew>1poj5b7*gJba4es0$2k8003!jba4ht1Xu(B003-nZf9`^O9XXwE`S1kaR4Y-0RR91cX0t@bZ>HFXf9uMbZKmJ3SV+%Vs&Y3WM6b;'
    'ZgX#PUv@GIaRMkPSO)+A0CRM2a$#p>aRXy?Z*pU33Px;iVRTb;Z*pO0WeRZwSPlRH068=<I5jvpF*!CcHaIwO1y}<B003ifb#Vqu22ONw2T@A^'
    'O9D#+hH(f>14{vhaS4fIV{dG1Wn*+{Z*Fr6PjX~sa%E&hX=8K>aSAC?aSL>D3{r6oSOEY40CaH<XaXoGXai^jSPlRH068=<I5jvpF*!CcHaIwO'
    '4`>EU22ONw5K&72O9M*+hH()~0ZRjhaT1AW3Mo=?6LfJDQgIbn0RR91ZgCb}aTh2{0ayV5004M#7-d)i0001JaT#a=C@5$HV{~tFV`vIOMr?0k'
    'bTKwlbZ>HDXJra;8dweh0022OF*r3hHZ?UdH!w9eaT{m`O94)FaU4-g080UdaUDwmg>fE<XbLG(aUXPXAX0H5buNGcU2y;?SPlRH068=<I5jsm'
    'H8n9eFf}%D0ay+I0022OF*r3iI59akFg7?iaROy70RR9100000z&{26000000000000000fIk2L06+i$KtKQhfIt8Mpg;'
)


@pytest.mark.parametrize("text", [ZIP, LEGACY], ids=["zip", "legacy"])
def test_files_of_pytorch(text):
    value = torch.load(io.BytesIO(base64.b85decode(text)))
    assert value["w"].tolist() == [[0, 1, 2], [3, 4, 5]] and value["t"].tolist() == [[0, 3], [1, 4], [2, 5]]
    assert value["n"] == [1, "x"] and value["h"].dtype == torch.bfloat16 and value["h"].item() == 1.5
    value["w"][0, 1] = 9
    assert value["t"][1, 0] == 9


def test_zipfile_reads_what_is_written():
    buffer = io.BytesIO()
    torch.save({"x": torch.arange(100)}, buffer)
    archive = zipfile.ZipFile(buffer)
    assert archive.testzip() is None
    assert {"archive/data.pkl", "archive/data/0", "archive/version", "archive/byteorder"} <= set(archive.namelist())
    data = buffer.getvalue()
    for info in archive.infolist():
        name, extra = struct.unpack_from("<2H", data, info.header_offset + 26)
        assert (info.header_offset + 30 + name + extra) % 64 == 0


def rewrite(data, change):
    """The archive with another pickle in it."""
    old, buffer = zipfile.ZipFile(io.BytesIO(bytes(data))), io.BytesIO()
    with zipfile.ZipFile(buffer, "w") as new:
        for name in old.namelist():
            contents = old.read(name)
            new.writestr(name, change(contents) if name.endswith("data.pkl") else contents)
    return buffer.getvalue()


def archive(text, storages=()):
    """An archive that holds this pickle."""
    buffer = io.BytesIO()
    with zipfile.ZipFile(buffer, "w") as new:
        new.writestr("archive/data.pkl", text)
        new.writestr("archive/version", "3\n")
        new.writestr("archive/byteorder", "little")
        for i, data in enumerate(storages):
            new.writestr(f"archive/data/{i}", data)
    return io.BytesIO(buffer.getvalue())


class Evil:
    def __init__(self, function, *arguments):
        self.call = function, arguments

    def __reduce__(self):
        return self.call


def evil_pickles(flag):
    command = f"touch {flag}"
    yield "system", pickle.dumps(Evil(os.system, command), 2)
    yield "exec", pickle.dumps(Evil(exec, f"open({str(flag)!r}, 'w')"), 2)
    yield "eval", pickle.dumps(Evil(eval, f"open({str(flag)!r}, 'w')"), 4)
    yield "open", pickle.dumps(Evil(open, str(flag), "w"), 2)
    yield "getattr", pickle.dumps(Evil(getattr, os, "system"), 4) if False else b"cbuiltins\ngetattr\n(cos\nsystem\nX\x08\0\0\0__call__tR."
    yield "inst", b"(X" + struct.pack("<I", len(command)) + command.encode() + b"ios\nsystem\n."
    yield "obj", b"(cos\nsystem\nX" + struct.pack("<I", len(command)) + command.encode() + b"o."
    yield "stack global", b"\x80\x04\x8c\x02os\x8c\x06system\x93\x8c" + bytes([len(command)]) + command.encode() + b"\x85R."
    yield "subclass walk", b"cbuiltins\nobject\n)R."
    yield "persid", b"Pos.system\n."
    yield "ext", b"\x82\x01."
    yield "build on a class", b"ctorch\nTensor\n}X\x01\0\0\0xK\x01sb."
    yield "newobj of Popen", b"csubprocess\nPopen\n)\x81."
    yield "import", b"ctiny_torch.__main__\nmain\n)R."
    yield "own function", b"ctorch.hub\ndownload_url_to_file\n)R."
    yield "numpy object array", b"cnumpy.core.multiarray\n_reconstruct\n(cnumpy\nndarray\n(K\x00tC\x01btR(K\x01(K\x01tcnumpy\ndtype\n(X\x01\0\0\0OK\x00K\x01tR\x89]t b."
    yield "numpy load", b"cnumpy\nload\n(X\x01\0\0\0xtR."
    yield "partial", b"cfunctools\npartial\n(cos\nsystem\nX\x02\0\0\0lstR."


@pytest.mark.parametrize("weights_only", [True, False])
def test_pickles_that_mean_harm(tmp_path, weights_only):
    flag = tmp_path / "flag"
    for name, text in evil_pickles(flag):
        with pytest.raises((pickle.UnpicklingError, RuntimeError)) as error:
            torch.load(archive(text), weights_only=weights_only)
        assert not flag.exists(), name
        assert str(error.value), name


def test_the_user_may_trust_a_file_entirely():
    assert torch.load(archive(pickle.dumps(Evil(abs, -3), 2)), pickle_module=pickle, weights_only=False) == 3
    with pytest.raises(RuntimeError, match="explicit pickle_module"):
        torch.load(archive(b"N."), pickle_module=pickle, weights_only=True)


@pytest.mark.parametrize(
    "text",
    [
        b"",
        b".",
        b"N",
        b"NN.",
        b"(.",
        b"t.",
        b"h\x05.",
        b"a.",
        b"Na.",
        b"K\x01K\x02a.",
        b"}K\x01s.",
        b"}(K\x01u.",
        b"}(]K\x01u.",
        b"X\xff\xff\xff\xffabc.",
        b"\x8b\xff\xff\xff\xff.",
        b"\x8e\xff\xff\xff\xff\xff\xff\xff\x7f.",
        b"\x80\x09N.",
        b"I1x\n.",
        b"ctorch\nSize\n(X\x01\0\0\0atR.",
        b"ctorch\nSize\nR.",
        b"X\x01\0\0\0\xff.",
        b"cnumpy\ndtype\n(X\x09\0\0\0f8,O,f4,OK\x00K\x01tR.",
        b"ctorch._utils\n_rebuild_tensor_v2\n)R.",
        b"Q.",
        b"NQ.",
        b"(X\x07\0\0\0storagectorch\nFloatStorage\nX\x01\0\0\x009X\x03\0\0\0cpuK\x02tQ.",
    ],
)
def test_damaged_pickles(text):
    with pytest.raises((pickle.UnpicklingError, EOFError, RuntimeError)):
        torch.load(archive(text))


@pytest.mark.parametrize(
    "layout",
    [
        "(K\x00(K\x05tK\x01\x85",  # larger than its storage
        "(K\x03(K\x02tK\x01\x85",  # begins too late
        "(K\x00(K\x02tK\x64\x85",  # steps out of it
        "(J\xff\xff\xff\xff(K\x02tK\x01\x85",  # begins before it
        "(K\x00(J\xff\xff\xff\xfftK\x01\x85",  # of negative size
        "(K\x00(K\x02tK\x01K\x01\x86",  # of two dimensions, or of one
    ],
)
def test_tensors_that_leave_their_storage(layout):
    offset, rest = layout.encode("latin1")[1:].split(b"(", 1)
    text = (
        b"ctorch._utils\n_rebuild_tensor_v2\n((X\x07\0\0\0storagectorch\nFloatStorage\nX\x01\0\0\x000X\x03\0\0\0cpuK\x04tQ"
        + offset + b"(" + rest + b"\x89Ntb"[:2] + b"tR."
    )
    with pytest.raises((pickle.UnpicklingError, RuntimeError)):
        torch.load(archive(text, [b"\0" * 16]))


def test_storages_cut_short():
    buffer = io.BytesIO()
    torch.save(torch.arange(10), buffer)
    text = zipfile.ZipFile(buffer).read("archive/data.pkl")
    with pytest.raises(RuntimeError, match="bytes"):
        torch.load(archive(text, [b"\0" * 8]))
    with pytest.raises(RuntimeError, match="not found"):
        torch.load(archive(text))


@pytest.mark.parametrize("kind", ["zip", "legacy"])
def test_truncated_and_altered_files(kind):
    """Whatever is cut off or changed, the answer is a value or an ordinary exception."""
    data = base64.b85decode(ZIP if kind == "zip" else LEGACY)
    draw = random.Random(0)
    for _ in range(3000):
        changed = bytearray(data)
        if draw.random() < 0.3:
            changed = changed[: draw.randrange(len(changed))]
        for _ in range(draw.randrange(1, 4)):
            if changed:
                changed[draw.randrange(len(changed))] = draw.randrange(256)
        try:
            torch.load(io.BytesIO(bytes(changed)))
        except (pickle.UnpicklingError, RuntimeError, EOFError):
            pass
    for length in range(0, len(data) - 1, 7):
        with pytest.raises((pickle.UnpicklingError, RuntimeError, EOFError)):
            torch.load(io.BytesIO(data[:length]))


def test_checksums_are_checked():
    buffer = io.BytesIO()
    torch.save(torch.full((100,), 3.0), buffer)
    data = bytearray(buffer.getvalue())
    at = data.find(struct.pack("<f", 3.0) * 10)
    data[at + 5] ^= 1
    with pytest.raises(RuntimeError, match="checksum"):
        torch.load(io.BytesIO(bytes(data)))


def test_unsafe_globals_are_listed(tmp_path):
    torch.save({"a": torch.ones(1), "b": argparse.Namespace(x=1)}, tmp_path / "x.pt")
    assert torch.serialization.get_unsafe_globals_in_checkpoint(tmp_path / "x.pt") == ["argparse.Namespace"]


def test_altered_pickles():
    """The same for the pickle alone, whose checksum would catch most changes: it is made right again."""
    buffer = io.BytesIO()
    torch.save({"w": torch.arange(6.0).reshape(2, 3), "n": [1, "x", (None, 2.5)], "o": collections.OrderedDict(a=1)}, buffer)
    with zipfile.ZipFile(buffer) as file:
        text, storages = file.read("archive/data.pkl"), [file.read("archive/data/0")]
    draw = random.Random(0)
    for _ in range(3000):
        changed = bytearray(text)
        for _ in range(draw.randrange(1, 5)):
            at = draw.randrange(len(changed))
            kind = draw.randrange(4)
            if kind == 0:
                changed[at] = draw.randrange(256)
            elif kind == 1:
                changed[at : at + 1] = text[at : at + draw.randrange(8)]
            elif kind == 2:
                changed.insert(at, draw.choice(b"().RQbtaeusdl0\x81\x85\x93h\x8c"))
            else:
                del changed[at]
        for weights_only in (True, False):
            try:
                torch.load(archive(bytes(changed), storages), weights_only=weights_only)
            except (pickle.UnpicklingError, RuntimeError, EOFError):
                pass


def test_classes_of_this_package_are_trusted_by_name():
    buffer = io.BytesIO()
    torch.save(torch.nn.Dropout(0.2), buffer)
    buffer.seek(0)
    with pytest.raises(pickle.UnpicklingError, match="torch.nn.modules.dropout.Dropout was not an allowed global"):
        torch.load(buffer)
    buffer.seek(0)
    with torch.serialization.safe_globals([torch.nn.Dropout]):
        assert torch.load(buffer).p == 0.2


def test_operators_are_trusted_by_name():
    buffer = io.BytesIO()
    torch.save({"activation": torch.nn.functional.gelu}, buffer)
    buffer.seek(0)
    with torch.serialization.safe_globals([torch.nn.functional.gelu]):
        assert torch.load(buffer)["activation"] is torch.nn.functional.gelu


def test_a_layer_keeps_its_activation():
    layer = round_trip(torch.nn.TransformerEncoderLayer(4, 2), weights_only=False)
    assert layer.activation is torch.nn.functional.relu
