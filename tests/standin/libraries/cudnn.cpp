// cuDNN: convolutions by plain loops, every argument checked before and again when the stream comes to it.
#include "common.h"
#include <algorithm>
#include <memory>

namespace {

// By the numbers that the library's interface fixes; BAD_PARAM is version 9's.
enum Status { SUCCESS = 0, NOT_INITIALIZED = 1001, BAD_PARAM = 2000, NOT_SUPPORTED = 3000, EXECUTION_FAILED = 5000 };
enum Kind { FORWARD, DATA, FILTER };

struct Handle {
    int device;
    void* stream = nullptr;
    bool has_stream = false;
};

// Items, channels, planes, rows and columns; what is described without planes has one.
struct Tensor {
    int type = -1, axes = 0;
    int sizes[5] = {}, strides[5] = {};
};

struct Filter {
    int type = -1, format = 0, axes = 0;
    int sizes[5] = {};
};

// Along planes, rows and columns.
struct Convolution {
    int axes = 0;
    int padding[3] = {}, stride[3] = {}, dilation[3] = {};
    int mode = -1, sums = 0, math = 0, groups = 1;
};

Objects<Handle> handles("cuDNN handles");
Objects<Tensor> tensors("cuDNN tensor descriptors");
Objects<Filter> filters("cuDNN filter descriptors");
Objects<Convolution> convolutions("cuDNN convolution descriptors");

struct Found {
    int algorithm, status;
    float time;
    size_t memory;
    int determinism, math, reserved[3];
};

bool type_of(int number, Type* type) {
    switch (number) {
    case 0: *type = Type::F32; return true;
    case 1: *type = Type::F64; return true;
    case 2: *type = Type::F16; return true;
    case 9: *type = Type::BF16; return true;
    default: return false;
    }
}

// A convolution whose parts agree with each other.
struct Problem {
    Kind kind;
    Type type;
    Tensor x, y;
    Filter w;
    Convolution how;

    size_t filter_bytes() const {
        return size_t(w.sizes[0]) * size_t(w.sizes[1]) * taps() * size_of(type);
    }
    size_t taps() const { return size_t(w.sizes[2]) * size_t(w.sizes[3]) * size_t(w.sizes[4]); }
    // What the second algorithm wants to work in.
    size_t room() const { return size_t(x.sizes[1]) * taps() * 4 * 16; }
};

size_t extent(const Tensor& t, Type type) {
    int64_t last = 0;
    for (int i = 0; i < 5; i++) last += int64_t(t.sizes[i] - 1) * t.strides[i];
    return size_t(last + 1) * size_of(type);
}

int understand(Kind kind, void* x, void* w, void* y, void* how, Problem* p) {
    Tensor *tx = tensors.find(x), *ty = tensors.find(y);
    Filter* f = filters.find(w);
    Convolution* c = convolutions.find(how);
    if (!tx || !ty) return refuse(BAD_PARAM, "cuDNN: what is no tensor descriptor");
    if (!f) return refuse(BAD_PARAM, "cuDNN: what is no filter descriptor");
    if (!c) return refuse(BAD_PARAM, "cuDNN: what is no convolution descriptor");
    if (tx->type < 0 || ty->type < 0 || f->type < 0 || c->mode < 0) return refuse(BAD_PARAM, "cuDNN: a descriptor of nothing");
    *p = {kind, {}, *tx, *ty, *f, *c};
    if (ty->axes != tx->axes || f->axes != tx->axes || c->axes != tx->axes - 2)
        return refuse(BAD_PARAM, "cuDNN: images of %d and %d axes, a filter of %d, a convolution along %d", tx->axes, ty->axes,
                      f->axes, c->axes);
    if (tx->type != ty->type || tx->type != f->type) return refuse(BAD_PARAM, "cuDNN: images and filter are of several types");
    if (!type_of(tx->type, &p->type)) return NOT_SUPPORTED;
    if (c->sums != (p->type == Type::F64 ? 1 : 0)) return refuse(NOT_SUPPORTED, "cuDNN: sums of type %d", c->sums);
    if (f->format != 0) return refuse(NOT_SUPPORTED, "cuDNN: a filter of format %d", f->format);
    if (tx->sizes[0] != ty->sizes[0]) return refuse(BAD_PARAM, "cuDNN: %d images become %d", tx->sizes[0], ty->sizes[0]);
    if (f->sizes[1] * c->groups != tx->sizes[1] || f->sizes[0] != ty->sizes[1] || f->sizes[0] % c->groups != 0)
        return refuse(BAD_PARAM, "cuDNN: a filter of %d x %d channels between images of %d and %d in %d groups", f->sizes[0],
                      f->sizes[1], ty->sizes[1], tx->sizes[1], c->groups);
    for (int i = 0; i < 3; i++) {
        int covered = (f->sizes[2 + i] - 1) * c->dilation[i] + 1, there = tx->sizes[2 + i] + 2 * c->padding[i];
        int out = there < covered ? 0 : (there - covered) / c->stride[i] + 1;
        if (out != ty->sizes[2 + i])
            return refuse(BAD_PARAM, "cuDNN: spatial axis %d of %d elements gives %d, not %d", i - (5 - tx->axes), tx->sizes[2 + i], out,
                          ty->sizes[2 + i]);
    }
    return SUCCESS;
}

struct Call {
    Problem problem;
    int device;
    double alpha, beta;
    Address x, w, y, workspace;
    size_t workspace_bytes;
};

bool memory_is_there(const Call& call) {
    const Problem& p = call.problem;
    auto is = [&](Address at, size_t bytes, const char* what) { return standin_is_memory(call.device, at, bytes, what); };
    return is(call.x, extent(p.x, p.type), "cuDNN's x") && is(call.y, extent(p.y, p.type), "cuDNN's y") &&
           is(call.w, p.filter_bytes(), "cuDNN's filter") &&
           (call.workspace_bytes == 0 || is(call.workspace, call.workspace_bytes, "cuDNN's workspace"));
}

int run(const Call& call) {
    const Problem& p = call.problem;
    if (!memory_is_there(call)) return 700;
    spoil(call.workspace, call.workspace_bytes);
    auto [n, c, depth, h, w] = p.x.sizes;
    // Channels of one group are next to each other.
    auto [k, cg, t, r, s] = p.w.sizes;
    int kg = k / p.how.groups;
    int od = p.y.sizes[2], oh = p.y.sizes[3], ow = p.y.sizes[4];
    bool rounds = p.type == Type::F32 && p.how.math == 2;
    auto number = [&](Address from, int64_t at) {
        double v = load(p.type, from, at);
        return rounds ? to_tf32(v) : v;
    };
    auto at = [](const Tensor& t, const int (&i)[5]) {
        int64_t place = 0;
        for (int axis = 0; axis < 5; axis++) place += int64_t(i[axis]) * t.strides[axis];
        return place;
    };
    auto at_filter = [&, c = cg, t = t, r = r, s = s](int ki, int ci, int ti, int ri, int si) {
        // Mode 0 is a convolution as mathematics has it: taps from their ends.
        if (p.how.mode == 0) ti = t - 1 - ti, ri = r - 1 - ri, si = s - 1 - si;
        return (((int64_t(ki) * c + ci) * t + ti) * r + ri) * s + si;
    };
    // Sums of what is computed, dense.
    size_t count = p.kind == FORWARD ? size_t(n) * k * od * oh * ow
                   : p.kind == DATA  ? size_t(n) * c * depth * h * w
                                     : size_t(k) * cg * t * r * s;
    std::vector<double> sums(count, 0.0);
    // Where window `o` reads at tap `i`, along an axis; less than 0 or beyond the end for an element that is 0.
    auto place = [&](int axis, int o, int i) { return o * p.how.stride[axis] - p.how.padding[axis] + i * p.how.dilation[axis]; };
    auto add = [&, c = c, depth = depth, h = h, w = w](int ni, int ki, int zi, int yi, int xi, int cj, int ti, int ri, int si) {
        int ci = ki / kg * cg + cj, plane = place(0, zi, ti), row = place(1, yi, ri), col = place(2, xi, si);
        if (plane < 0 || plane >= depth || row < 0 || row >= h || col < 0 || col >= w) return;
        int64_t to_y = at(p.y, {ni, ki, zi, yi, xi}), to_x = at(p.x, {ni, ci, plane, row, col});
        int64_t to_w = at_filter(ki, cj, ti, ri, si);
        if (p.kind == FORWARD)
            sums[(((size_t(ni) * k + ki) * od + zi) * oh + yi) * ow + xi] += number(call.x, to_x) * number(call.w, to_w);
        else if (p.kind == DATA)
            sums[(((size_t(ni) * c + ci) * depth + plane) * h + row) * w + col] += number(call.y, to_y) * number(call.w, to_w);
        else
            sums[size_t(to_w)] += number(call.x, to_x) * number(call.y, to_y);
    };
    for (int ni = 0; ni < n; ni++)
        for (int ki = 0; ki < k; ki++)
            for (int zi = 0; zi < od; zi++)
                for (int yi = 0; yi < oh; yi++)
                    for (int xi = 0; xi < ow; xi++)
                        for (int cj = 0; cj < cg; cj++)
                            for (int ti = 0; ti < t; ti++)
                                for (int ri = 0; ri < r; ri++)
                                    for (int si = 0; si < s; si++) add(ni, ki, zi, yi, xi, cj, ti, ri, si);
    auto put = [&](Address to, int64_t place, double sum) {
        double v = rounded(p.type, call.alpha * sum);
        if (call.beta != 0) v = rounded(p.type, v + call.beta * load(p.type, to, place));
        store(p.type, to, place, v);
    };
    if (p.kind == FILTER) {
        for (size_t i = 0; i < count; i++) put(call.w, int64_t(i), sums[i]);
        return 0;
    }
    const Tensor& to = p.kind == FORWARD ? p.y : p.x;
    size_t i = 0;
    for (int a = 0; a < to.sizes[0]; a++)
        for (int b = 0; b < to.sizes[1]; b++)
            for (int d = 0; d < to.sizes[2]; d++)
                for (int e = 0; e < to.sizes[3]; e++)
                    for (int f = 0; f < to.sizes[4]; f++) put(p.kind == FORWARD ? call.y : call.x, at(to, {a, b, d, e, f}), sums[i++]);
    return 0;
}

// The choice of algorithms: one that differs from run to run, one that wants room, one that wants none.
int choose(void* handle, Kind kind, void* x, void* w, void* y, void* how, int wanted, int* count, Found* found) {
    LOCKED;
    *count = 0;
    if (!handles.find(handle)) return refuse(BAD_PARAM, "cuDNN: what is no handle");
    Problem p;
    if (int bad = understand(kind, x, w, y, how, &p)) return bad;
    Found all[3] = {{2, SUCCESS, 1, 0, 0, p.how.math, {}},
                    {1, SUCCESS, 2, p.room(), 1, p.how.math, {}},
                    {0, SUCCESS, 3, 0, 1, p.how.math, {}}};
    for (int i = 0; i < 3 && i < wanted; i++) found[(*count)++] = all[i];
    return SUCCESS;
}

int convolve(void* handle, Kind kind, const void* alpha, void* x_desc, Address x, void* w_desc, Address w, void* y_desc,
             Address y, void* how, int algorithm, Address workspace, size_t workspace_bytes, const void* beta) {
    LOCKED;
    Handle* h = handles.find(handle);
    if (!h) return refuse(BAD_PARAM, "cuDNN: what is no handle");
    if (!h->has_stream || standin_device_of(h->stream) != h->device || standin_current_device() != h->device)
        return refuse(BAD_PARAM, "cuDNN: a handle of device %d, on the stream of another", h->device);
    Call call{};
    if (int bad = understand(kind, x_desc, w_desc, y_desc, how, &call.problem)) return bad;
    const Problem& p = call.problem;
    if (!alpha || !beta) return refuse(BAD_PARAM, "cuDNN: no alpha or no beta");
    if (algorithm < 0 || algorithm > 2) return refuse(BAD_PARAM, "cuDNN: algorithm %d", algorithm);
    bool whole = p.type == Type::F64;
    auto number = [&](const void* at) { return whole ? *static_cast<const double*>(at) : double(*static_cast<const float*>(at)); };
    call.device = h->device, call.alpha = number(alpha), call.beta = number(beta);
    call.x = x, call.w = w, call.y = y;
    for (Address a : {x, w, y})
        if (a % size_of(p.type) != 0) return refuse(BAD_PARAM, "cuDNN: a misaligned operand");
    size_t room = algorithm == 1 ? p.room() : 0;
    if (workspace_bytes < room || (room && workspace % 16 != 0))
        return refuse(BAD_PARAM, "cuDNN: a workspace of %zu bytes where %zu are wanted", workspace_bytes, room);
    call.workspace = workspace, call.workspace_bytes = room;
    if (!memory_is_there(call)) return BAD_PARAM;
    struct Range {
        Address at;
        size_t bytes;
    } ranges[3] = {{x, extent(p.x, p.type)}, {w, p.filter_bytes()}, {y, extent(p.y, p.type)}};
    std::swap(ranges[kind == FORWARD ? 2 : kind == DATA ? 0 : 1], ranges[0]);
    for (int i = 1; i < 3; i++)
        if (ranges[0].at < ranges[i].at + ranges[i].bytes && ranges[i].at < ranges[0].at + ranges[0].bytes)
            return refuse(BAD_PARAM, "cuDNN: the result lies in an operand");
    auto shared = std::make_shared<Call>(call);
    return standin_enqueue(h->stream, [shared] { return run(*shared); }) == 0 ? SUCCESS : EXECUTION_FAILED;
}

}  // namespace

API size_t cudnnGetVersion() { return 91000; }

API int cudnnCreate(void** handle) {
    LOCKED;
    int device = standin_current_device();
    if (device < 0) return refuse(NOT_INITIALIZED, "cudnnCreate: no context is current");
    *handle = handles.make({device});
    return SUCCESS;
}

API int cudnnDestroy(void* handle) {
    LOCKED;
    return handles.destroy(handle) ? SUCCESS : refuse(BAD_PARAM, "cudnnDestroy: what is no handle");
}

API int cudnnSetStream(void* handle, void* stream) {
    LOCKED;
    Handle* h = handles.find(handle);
    if (!h) return refuse(BAD_PARAM, "cudnnSetStream: what is no handle");
    h->stream = stream;
    h->has_stream = true;
    return SUCCESS;
}

#define DESCRIPTOR(name, objects) \
    API int cudnnCreate##name##Descriptor(void** descriptor) { \
        LOCKED; \
        *descriptor = objects.make({}); \
        return SUCCESS; \
    } \
    API int cudnnDestroy##name##Descriptor(void* descriptor) { \
        LOCKED; \
        return objects.destroy(descriptor) ? SUCCESS : refuse(BAD_PARAM, "%s: what is no descriptor", __func__); \
    }
DESCRIPTOR(Tensor, tensors)
DESCRIPTOR(Filter, filters)
DESCRIPTOR(Convolution, convolutions)

// Sizes as lists, of four axes or of five.
void spread(int axes, const int* from, int (&to)[5]) {
    int out = 0;
    for (int i = 0; i < axes; i++) {
        if (axes == 4 && i == 2) to[out++] = 1;
        to[out++] = from[i];
    }
}

API int cudnnSetTensorNdDescriptor(void* descriptor, int type, int axes, const int* sizes, const int* strides) {
    LOCKED;
    Tensor* t = tensors.find(descriptor);
    if (!t) return refuse(BAD_PARAM, "cudnnSetTensorNdDescriptor: what is no descriptor");
    if (axes < 4 || axes > 5 || !sizes || !strides) return refuse(BAD_PARAM, "cudnnSetTensorNdDescriptor: %d axes", axes);
    for (int i = 0; i < axes; i++)
        if (sizes[i] < 1 || strides[i] < 1)
            return refuse(BAD_PARAM, "cuDNN: axis %d has %d elements, %d apart", i, sizes[i], strides[i]);
    *t = {type, axes, {}, {}};
    spread(axes, sizes, t->sizes);
    spread(axes, strides, t->strides);
    // From the innermost axis on, each must begin where those inside it end.
    std::vector<int> order(static_cast<size_t>(axes));
    for (int i = 0; i < axes; i++) order[size_t(i)] = i;
    std::sort(order.begin(), order.end(), [&](int a, int b) { return strides[a] < strides[b]; });
    int64_t end = 0;
    for (int i : order) {
        if (sizes[i] > 1 && strides[i] <= end) return refuse(BAD_PARAM, "cuDNN: axis %d lies in the others", i);
        end += int64_t(sizes[i] - 1) * strides[i];
    }
    return SUCCESS;
}

API int cudnnSetFilterNdDescriptor(void* descriptor, int type, int format, int axes, const int* sizes) {
    LOCKED;
    Filter* f = filters.find(descriptor);
    if (!f) return refuse(BAD_PARAM, "cudnnSetFilterNdDescriptor: what is no descriptor");
    if (axes < 4 || axes > 5 || !sizes) return refuse(BAD_PARAM, "cudnnSetFilterNdDescriptor: %d axes", axes);
    *f = {type, format, axes, {}};
    spread(axes, sizes, f->sizes);
    for (int i = 0; i < axes; i++)
        if (sizes[i] < 1) return refuse(BAD_PARAM, "cuDNN: a filter whose axis %d has %d elements", i, sizes[i]);
    return SUCCESS;
}

API int cudnnSetConvolutionNdDescriptor(void* descriptor, int axes, const int* padding, const int* stride, const int* dilation,
                                        int mode, int sums) {
    LOCKED;
    Convolution* c = convolutions.find(descriptor);
    if (!c) return refuse(BAD_PARAM, "cudnnSetConvolutionNdDescriptor: what is no descriptor");
    if (axes < 2 || axes > 3 || !padding || !stride || !dilation || mode < 0 || mode > 1)
        return refuse(BAD_PARAM, "cudnnSetConvolutionNdDescriptor: %d axes, mode %d", axes, mode);
    *c = {axes, {0, 0, 0}, {1, 1, 1}, {1, 1, 1}, mode, sums, c->math, c->groups};
    for (int i = 0; i < axes; i++) {
        if (padding[i] < 0 || stride[i] < 1 || dilation[i] < 1)
            return refuse(BAD_PARAM, "cuDNN: padding %d, stride %d, dilation %d along axis %d", padding[i], stride[i], dilation[i], i);
        int to = 3 - axes + i;
        c->padding[to] = padding[i], c->stride[to] = stride[i], c->dilation[to] = dilation[i];
    }
    return SUCCESS;
}

API int cudnnSetConvolutionMathType(void* descriptor, int math) {
    LOCKED;
    Convolution* c = convolutions.find(descriptor);
    if (!c || math < 0 || math > 3) return refuse(BAD_PARAM, "cudnnSetConvolutionMathType: what is no descriptor, or kind %d", math);
    c->math = math;
    return SUCCESS;
}

API int cudnnSetConvolutionGroupCount(void* descriptor, int groups) {
    LOCKED;
    Convolution* c = convolutions.find(descriptor);
    if (!c || groups < 1) return refuse(BAD_PARAM, "cudnnSetConvolutionGroupCount: what is no descriptor, or %d groups", groups);
    c->groups = groups;
    return SUCCESS;
}

API int cudnnGetConvolutionForwardAlgorithm_v7(void* handle, void* x, void* w, void* how, void* y, int wanted, int* count, Found* found) {
    return choose(handle, FORWARD, x, w, y, how, wanted, count, found);
}
API int cudnnGetConvolutionBackwardDataAlgorithm_v7(void* handle, void* w, void* y, void* how, void* x, int wanted, int* count, Found* found) {
    return choose(handle, DATA, x, w, y, how, wanted, count, found);
}
API int cudnnGetConvolutionBackwardFilterAlgorithm_v7(void* handle, void* x, void* y, void* how, void* w, int wanted, int* count, Found* found) {
    return choose(handle, FILTER, x, w, y, how, wanted, count, found);
}

API int cudnnConvolutionForward(void* handle, const void* alpha, void* x_desc, Address x, void* w_desc, Address w, void* how,
                                int algorithm, Address workspace, size_t bytes, const void* beta, void* y_desc, Address y) {
    return convolve(handle, FORWARD, alpha, x_desc, x, w_desc, w, y_desc, y, how, algorithm, workspace, bytes, beta);
}
API int cudnnConvolutionBackwardData(void* handle, const void* alpha, void* w_desc, Address w, void* y_desc, Address y, void* how,
                                     int algorithm, Address workspace, size_t bytes, const void* beta, void* x_desc, Address x) {
    return convolve(handle, DATA, alpha, x_desc, x, w_desc, w, y_desc, y, how, algorithm, workspace, bytes, beta);
}
API int cudnnConvolutionBackwardFilter(void* handle, const void* alpha, void* x_desc, Address x, void* y_desc, Address y, void* how,
                                       int algorithm, Address workspace, size_t bytes, const void* beta, void* w_desc, Address w) {
    return convolve(handle, FILTER, alpha, x_desc, x, w_desc, w, y_desc, y, how, algorithm, workspace, bytes, beta);
}
