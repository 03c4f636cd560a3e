// cuBLASLt: products of matrices by plain loops, every argument checked before and again when the stream comes to it.
#include "common.h"
#include <memory>

namespace {

// By the numbers that the library's interface fixes.
enum Status { SUCCESS = 0, NOT_INITIALIZED = 1, INVALID_VALUE = 7, ARCH_MISMATCH = 8, EXECUTION_FAILED = 13, NOT_SUPPORTED = 15 };
enum Epilogue : uint32_t { DEFAULT = 1, RELU = 2, BIAS = 4, GELU = 32, GELU_GRADIENT = 64 | 128, SUM_A = 256, SUM_B = 512 };

struct Handle {
    int device;
};

struct Layout {
    int type;
    uint64_t rows, cols;
    int64_t ld;
    int32_t batch = 1;
    int64_t stride = 0;
};

struct Desc {
    int compute, scale;
    int32_t transpose_a = 0, transpose_b = 0;
    uint32_t epilogue = DEFAULT;
    Address bias = 0, auxiliary = 0;
    int64_t auxiliary_ld = 0, auxiliary_stride = 0;

    // Whether the epilogue reads or writes a vector.
    bool has_vector() const { return epilogue & (BIAS | SUM_A | SUM_B); }
    // Whether it reads the matrix that gelu was applied to.
    bool has_auxiliary() const { return epilogue == GELU_GRADIENT; }
};

struct Preference {
    size_t workspace = 0;
    uint32_t alignment[4] = {256, 256, 256, 256};
};

Objects<Handle> handles("cuBLASLt handles");
Objects<Layout> layouts("cuBLASLt layouts");
Objects<Desc> descs("cuBLASLt descriptors");
Objects<Preference> preferences("cuBLASLt preferences");

// What the heuristic gives: an algorithm is for one problem, and for addresses as aligned as was said.
struct Algorithm {
    uint64_t magic, problem, workspace, alignment[4], reserved;
};
static_assert(sizeof(Algorithm) == 64, "as the library's");
constexpr uint64_t kMagic = 0x7461696e6d617463;

struct Found {
    Algorithm algorithm;
    size_t workspace;
    int state;
    float waves;
    int reserved[4];
};

bool type_of(int number, Type* type) {
    switch (number) {
    case 0: *type = Type::F32; return true;
    case 1: *type = Type::F64; return true;
    case 2: *type = Type::F16; return true;
    case 14: *type = Type::BF16; return true;
    default: return false;
    }
}

// A product whose parts agree with each other.
struct Problem {
    Type type;
    bool tf32;
    Desc desc;
    Layout a, b, c, d;
    int64_t m, n, k;

    uint64_t fingerprint() const {
        uint64_t hash = 14695981039346656037u;
        auto add = [&](uint64_t v) { hash = (hash ^ v) * 1099511628211u; };
        for (const Layout* l : {&a, &b, &c, &d})
            for (uint64_t v : {uint64_t(l->type), l->rows, l->cols, uint64_t(l->ld), uint64_t(l->batch), uint64_t(l->stride)})
                add(v);
        for (int v : {desc.compute, desc.scale, desc.transpose_a, desc.transpose_b, int(desc.epilogue)}) add(uint64_t(v));
        for (int64_t v : {desc.auxiliary_ld, desc.auxiliary_stride}) add(uint64_t(v));
        return hash;
    }
    // Elements of the epilogue's vector: a bias has one for each row.
    int64_t vector() const { return desc.epilogue & SUM_B ? n : m; }
    // The auxiliary matrix, of the size of D.
    Layout auxiliary() const { return {d.type, d.rows, d.cols, desc.auxiliary_ld, d.batch, desc.auxiliary_stride}; }
};

// Bytes from the first element to the last.
size_t extent(const Layout& l, Type type) {
    int64_t last = int64_t(l.batch - 1) * l.stride + int64_t(l.cols - 1) * l.ld + int64_t(l.rows);
    return size_t(last) * size_of(type);
}

int understand(void* desc_handle, void* const (&layout_handles)[4], Problem* p) {
    Desc* desc = descs.find(desc_handle);
    if (!desc) return refuse(INVALID_VALUE, "cuBLASLt: what is no descriptor of a product");
    p->desc = *desc;
    Layout* to[4] = {&p->a, &p->b, &p->c, &p->d};
    for (int i = 0; i < 4; i++) {
        Layout* l = layouts.find(layout_handles[i]);
        if (!l) return refuse(INVALID_VALUE, "cuBLASLt: what is no layout, for matrix %c", "ABCD"[i]);
        *to[i] = *l;
        if (l->rows < 1 || l->cols < 1 || l->ld < int64_t(l->rows))
            return refuse(INVALID_VALUE, "cuBLASLt: matrix %c of %llu x %llu has columns %lld apart", "ABCD"[i],
                          (unsigned long long)l->rows, (unsigned long long)l->cols, (long long)l->ld);
        if (l->batch < 1 || l->batch != p->a.batch)
            return refuse(INVALID_VALUE, "cuBLASLt: matrix %c has %d items, A has %d", "ABCD"[i], l->batch, p->a.batch);
        if (l->stride < 0) return refuse(INVALID_VALUE, "cuBLASLt: matrix %c goes backwards", "ABCD"[i]);
        if (l->type != p->a.type) return refuse(NOT_SUPPORTED, "cuBLASLt: matrix %c is of another type", "ABCD"[i]);
    }
    if (!type_of(p->a.type, &p->type)) return NOT_SUPPORTED;
    // Sums: COMPUTE_32F and COMPUTE_32F_FAST_TF32 with alpha of f32, COMPUTE_64F with alpha of f64.
    bool whole = p->type == Type::F64;
    p->tf32 = desc->compute == 77;
    if (desc->scale != (whole ? 1 : 0) || (whole ? desc->compute != 70 : desc->compute != 68 && !p->tf32) ||
        (p->tf32 && p->type != Type::F32))
        return refuse(NOT_SUPPORTED, "cuBLASLt: sums of kind %d, scaled by type %d, of matrices of type %d",
                      desc->compute, desc->scale, p->a.type);
    auto turned = [](const Layout& l, bool t) { return t ? std::pair(l.cols, l.rows) : std::pair(l.rows, l.cols); };
    auto [m, k] = turned(p->a, desc->transpose_a);
    auto [k2, n] = turned(p->b, desc->transpose_b);
    if (k != k2 || p->d.rows != m || p->d.cols != n)
        return refuse(INVALID_VALUE, "cuBLASLt: %llu x %llu times %llu x %llu gives %llu x %llu", (unsigned long long)m,
                      (unsigned long long)k, (unsigned long long)k2, (unsigned long long)n,
                      (unsigned long long)p->d.rows, (unsigned long long)p->d.cols);
    if (p->c.rows != m || p->c.cols != n) return refuse(INVALID_VALUE, "cuBLASLt: C is not as large as D");
    // Items of the result one in another would be written twice.
    if (p->d.batch > 1 && p->d.stride == 0) return refuse(INVALID_VALUE, "cuBLASLt: all items of D are in one place");
    p->m = int64_t(m), p->n = int64_t(n), p->k = int64_t(k);
    switch (desc->epilogue) {
    case DEFAULT: case RELU: case BIAS: case RELU | BIAS: case GELU: case GELU | BIAS: case GELU_GRADIENT: break;
    case SUM_A: case SUM_B:
        if (p->d.batch > 1) return refuse(NOT_SUPPORTED, "cuBLASLt: a sum of the operand of %d products", p->d.batch);
        break;
    default: return refuse(NOT_SUPPORTED, "cuBLASLt: epilogue %u", desc->epilogue);
    }
    if (desc->has_vector() && desc->bias == 0) return refuse(INVALID_VALUE, "cuBLASLt: a bias nowhere");
    if (desc->has_auxiliary()) {
        if (desc->auxiliary == 0) return refuse(INVALID_VALUE, "cuBLASLt: an auxiliary matrix nowhere");
        if (desc->auxiliary_ld % 8 != 0 || desc->auxiliary_ld < int64_t(m) || desc->auxiliary_stride < 0)
            return refuse(INVALID_VALUE, "cuBLASLt: an auxiliary matrix of %lld rows has columns %lld apart", (long long)m,
                          (long long)desc->auxiliary_ld);
    }
    return SUCCESS;
}

struct Call {
    Problem problem;
    int device;
    double alpha, beta;
    Address a, b, c, d, workspace;
    size_t workspace_bytes;
};

bool memory_is_there(const Call& call) {
    const Problem& p = call.problem;
    auto is = [&](Address at, size_t bytes, const char* what) { return standin_is_memory(call.device, at, bytes, what); };
    return is(call.a, extent(p.a, p.type), "cuBLASLt's A") && is(call.b, extent(p.b, p.type), "cuBLASLt's B") &&
           (call.beta == 0 || is(call.c, extent(p.c, p.type), "cuBLASLt's C")) &&
           is(call.d, extent(p.d, p.type), "cuBLASLt's D") &&
           (!p.desc.has_vector() || is(p.desc.bias, size_t(p.vector()) * size_of(p.type), "cuBLASLt's bias")) &&
           (!p.desc.has_auxiliary() ||
            is(p.desc.auxiliary, extent(p.auxiliary(), p.type), "cuBLASLt's auxiliary matrix")) &&
           (call.workspace_bytes == 0 || is(call.workspace, call.workspace_bytes, "cuBLASLt's workspace"));
}

double activate(uint32_t epilogue, double v) {
    if (epilogue & RELU) return v > 0 || v != v ? v : 0;
    if (epilogue & GELU) return 0.5 * v * (1 + tanh(0.7978845608028654 * (v + 0.044715 * v * v * v)));
    return v;
}

double gelu_slope(double x) {
    double t = tanh(0.7978845608028654 * (x + 0.044715 * x * x * x));
    return 0.5 * (1 + t) + 0.5 * x * (1 - t * t) * 0.7978845608028654 * (1 + 3 * 0.044715 * x * x);
}

int run(const Call& call) {
    const Problem& p = call.problem;
    if (!memory_is_there(call)) return 700;
    Type type = p.type;
    spoil(call.workspace, call.workspace_bytes);
    std::vector<double> a(size_t(p.m * p.k)), b(size_t(p.k * p.n));
    for (int64_t item = 0; item < p.d.batch; item++) {
        auto at = [&](const Layout& l, int64_t row, int64_t col) { return item * l.stride + col * l.ld + row; };
        auto number = [&](double v) { return p.tf32 ? to_tf32(v) : v; };
        for (int64_t i = 0; i < p.m; i++)
            for (int64_t l = 0; l < p.k; l++)
                a[size_t(i * p.k + l)] = number(load(type, call.a, p.desc.transpose_a ? at(p.a, l, i) : at(p.a, i, l)));
        for (int64_t j = 0; j < p.n; j++)
            for (int64_t l = 0; l < p.k; l++)
                b[size_t(j * p.k + l)] = number(load(type, call.b, p.desc.transpose_b ? at(p.b, j, l) : at(p.b, l, j)));
        for (int64_t j = 0; j < p.n; j++)
            for (int64_t i = 0; i < p.m; i++) {
                double sum = 0;
                for (int64_t l = 0; l < p.k; l++) sum += a[size_t(i * p.k + l)] * b[size_t(j * p.k + l)];
                double v = rounded(type, call.alpha * sum);
                if (call.beta != 0) v = rounded(type, v + call.beta * load(type, call.c, at(p.c, i, j)));
                if (p.desc.epilogue & BIAS) v = rounded(type, v + load(type, p.desc.bias, i));
                if (p.desc.has_auxiliary())
                    v = rounded(type, v * gelu_slope(load(type, p.desc.auxiliary, at(p.auxiliary(), i, j))));
                store(type, call.d, at(p.d, i, j), rounded(type, activate(p.desc.epilogue, v)));
            }
        // Sums along k, of the operand as it lies in memory.
        if (p.desc.epilogue & (SUM_A | SUM_B)) {
            bool first = p.desc.epilogue & SUM_A, transposed = first ? p.desc.transpose_a : p.desc.transpose_b;
            for (int64_t i = 0; i < p.vector(); i++) {
                double sum = 0;
                for (int64_t l = 0; l < p.k; l++)
                    sum += first ? load(type, call.a, transposed ? at(p.a, l, i) : at(p.a, i, l))
                                 : load(type, call.b, transposed ? at(p.b, i, l) : at(p.b, l, i));
                store(type, p.desc.bias, i, rounded(type, sum));
            }
        }
    }
    return 0;
}

template <class T> bool read(T* to, const void* from, size_t bytes) {
    if (!from || bytes != sizeof(T)) return false;
    memcpy(to, from, sizeof(T));
    return true;
}

bool overlap(Address a, size_t a_bytes, Address b, size_t b_bytes) { return a < b + b_bytes && b < a + a_bytes; }

}  // namespace

API size_t cublasLtGetVersion() { return 130000; }

API int cublasLtCreate(void** handle) {
    LOCKED;
    int device = standin_current_device();
    if (device < 0) return refuse(NOT_INITIALIZED, "cublasLtCreate: no context is current");
    *handle = handles.make({device});
    return SUCCESS;
}

API int cublasLtDestroy(void* handle) {
    LOCKED;
    return handles.destroy(handle) ? SUCCESS : refuse(INVALID_VALUE, "cublasLtDestroy: what is no handle");
}

API int cublasLtMatrixLayoutCreate(void** layout, int type, uint64_t rows, uint64_t cols, int64_t ld) {
    LOCKED;
    *layout = layouts.make({type, rows, cols, ld});
    return SUCCESS;
}

API int cublasLtMatrixLayoutDestroy(void* layout) {
    LOCKED;
    return layouts.destroy(layout) ? SUCCESS : refuse(INVALID_VALUE, "cublasLtMatrixLayoutDestroy: what is no layout");
}

API int cublasLtMatrixLayoutSetAttribute(void* handle, int attribute, const void* value, size_t bytes) {
    LOCKED;
    Layout* layout = layouts.find(handle);
    if (!layout) return refuse(INVALID_VALUE, "cublasLtMatrixLayoutSetAttribute: what is no layout");
    bool known = attribute == 5   ? read(&layout->batch, value, bytes)
                 : attribute == 6 ? read(&layout->stride, value, bytes)
                                  : false;
    return known ? SUCCESS : refuse(INVALID_VALUE, "cuBLASLt: attribute %d of a layout, of %zu bytes", attribute, bytes);
}

API int cublasLtMatmulDescCreate(void** desc, int compute, int scale) {
    LOCKED;
    *desc = descs.make({compute, scale});
    return SUCCESS;
}

API int cublasLtMatmulDescDestroy(void* desc) {
    LOCKED;
    return descs.destroy(desc) ? SUCCESS : refuse(INVALID_VALUE, "cublasLtMatmulDescDestroy: what is no descriptor");
}

API int cublasLtMatmulDescSetAttribute(void* handle, int attribute, const void* value, size_t bytes) {
    LOCKED;
    Desc* desc = descs.find(handle);
    if (!desc) return refuse(INVALID_VALUE, "cublasLtMatmulDescSetAttribute: what is no descriptor");
    bool known = attribute == 3   ? read(&desc->transpose_a, value, bytes)
                 : attribute == 4 ? read(&desc->transpose_b, value, bytes)
                 : attribute == 7 ? read(&desc->epilogue, value, bytes)
                 : attribute == 8 ? read(&desc->bias, value, bytes)
                 : attribute == 11 ? read(&desc->auxiliary, value, bytes)
                 : attribute == 12 ? read(&desc->auxiliary_ld, value, bytes)
                 : attribute == 13 ? read(&desc->auxiliary_stride, value, bytes)
                                  : false;
    return known ? SUCCESS : refuse(INVALID_VALUE, "cuBLASLt: attribute %d of a product, of %zu bytes", attribute, bytes);
}

API int cublasLtMatmulPreferenceCreate(void** preference) {
    LOCKED;
    *preference = preferences.make({});
    return SUCCESS;
}

API int cublasLtMatmulPreferenceDestroy(void* preference) {
    LOCKED;
    return preferences.destroy(preference) ? SUCCESS : refuse(INVALID_VALUE, "cuBLASLt: destroys what is no preference");
}

API int cublasLtMatmulPreferenceSetAttribute(void* handle, int attribute, const void* value, size_t bytes) {
    LOCKED;
    Preference* preference = preferences.find(handle);
    if (!preference) return refuse(INVALID_VALUE, "cublasLtMatmulPreferenceSetAttribute: what is no preference");
    bool known = attribute == 1                     ? read(&preference->workspace, value, bytes)
                 : attribute >= 5 && attribute <= 8 ? read(&preference->alignment[attribute - 5], value, bytes)
                                                    : false;
    return known ? SUCCESS : refuse(INVALID_VALUE, "cuBLASLt: attribute %d of a preference, of %zu bytes", attribute, bytes);
}

API int cublasLtMatmulAlgoGetHeuristic(void* handle, void* desc, void* a, void* b, void* c, void* d, void* preference,
                                       int wanted, Found* found, int* count) {
    LOCKED;
    *count = 0;
    if (!handles.find(handle)) return refuse(INVALID_VALUE, "cublasLtMatmulAlgoGetHeuristic: what is no handle");
    Preference* p = preferences.find(preference);
    if (!p) return refuse(INVALID_VALUE, "cublasLtMatmulAlgoGetHeuristic: what is no preference");
    if (wanted < 1) return INVALID_VALUE;
    Problem problem;
    if (int bad = understand(desc, {a, b, c, d}, &problem)) return bad;
    // Long sums are cut in two, whose parts want room.
    size_t room = problem.k >= 128 ? size_t(problem.m * problem.n) * 8 : 0;
    if (room > p->workspace) room = 0;
    *found = {};
    found->algorithm = {kMagic, problem.fingerprint(), room, {}, 0};
    for (int i = 0; i < 4; i++) found->algorithm.alignment[i] = p->alignment[i];
    found->workspace = room;
    *count = 1;
    return SUCCESS;
}

API int cublasLtMatmul(void* handle, void* desc, const void* alpha, Address a, void* a_layout, Address b, void* b_layout,
                       const void* beta, Address c, void* c_layout, Address d, void* d_layout, const Algorithm* algorithm,
                       Address workspace, size_t workspace_bytes, void* stream) {
    LOCKED;
    Handle* h = handles.find(handle);
    if (!h) return refuse(INVALID_VALUE, "cublasLtMatmul: what is no handle");
    if (standin_current_device() != h->device || standin_device_of(stream) != h->device)
        return refuse(INVALID_VALUE, "cublasLtMatmul: a handle of device %d, on the stream of another", h->device);
    Call call{};
    if (int bad = understand(desc, {a_layout, b_layout, c_layout, d_layout}, &call.problem)) return bad;
    const Problem& p = call.problem;
    if (!alpha || !beta) return refuse(INVALID_VALUE, "cublasLtMatmul: no alpha or no beta");
    bool whole = p.type == Type::F64;
    auto number = [&](const void* at) { return whole ? *static_cast<const double*>(at) : double(*static_cast<const float*>(at)); };
    call.device = h->device, call.alpha = number(alpha), call.beta = number(beta);
    call.a = a, call.b = b, call.c = c, call.d = d;
    if (!algorithm || algorithm->magic != kMagic || algorithm->problem != p.fingerprint())
        return refuse(INVALID_VALUE, "cublasLtMatmul: an algorithm for another product");
    Address at[4] = {a, b, c, d};
    for (int i = 0; i < 4; i++)
        if (at[i] % algorithm->alignment[i] != 0)
            return refuse(INVALID_VALUE, "cublasLtMatmul: matrix %c is not at a multiple of %llu bytes, as was said",
                          "ABCD"[i], (unsigned long long)algorithm->alignment[i]);
    if (p.desc.has_vector() && p.desc.bias % size_of(p.type) != 0)
        return refuse(INVALID_VALUE, "cublasLtMatmul: the bias is misaligned");
    if (p.desc.has_auxiliary() && p.desc.auxiliary % 16 != 0)
        return refuse(INVALID_VALUE, "cublasLtMatmul: the auxiliary matrix is misaligned");
    if (algorithm->workspace > workspace_bytes || (workspace_bytes && workspace % 16 != 0))
        return refuse(INVALID_VALUE, "cublasLtMatmul: a workspace of %zu bytes where %llu are wanted", workspace_bytes,
                      (unsigned long long)algorithm->workspace);
    call.workspace = workspace, call.workspace_bytes = size_t(algorithm->workspace);
    if (!memory_is_there(call)) return INVALID_VALUE;
    size_t d_bytes = extent(p.d, p.type);
    if (overlap(d, d_bytes, a, extent(p.a, p.type)) || overlap(d, d_bytes, b, extent(p.b, p.type)))
        return refuse(INVALID_VALUE, "cublasLtMatmul: D lies in A or B");
    if (call.beta != 0 && c != d && overlap(d, d_bytes, c, extent(p.c, p.type)))
        return refuse(INVALID_VALUE, "cublasLtMatmul: D lies in C, and not in its place");
    // What the epilogue writes beside D, and what it reads.
    if (p.desc.epilogue & (SUM_A | SUM_B)) {
        size_t bytes = size_t(p.vector()) * size_of(p.type);
        if (overlap(p.desc.bias, bytes, d, d_bytes) || overlap(p.desc.bias, bytes, a, extent(p.a, p.type)) ||
            overlap(p.desc.bias, bytes, b, extent(p.b, p.type)))
            return refuse(INVALID_VALUE, "cublasLtMatmul: the sums lie in A, B or D");
    }
    if (p.desc.has_auxiliary() && overlap(d, d_bytes, p.desc.auxiliary, extent(p.auxiliary(), p.type)))
        return refuse(INVALID_VALUE, "cublasLtMatmul: D lies in the auxiliary matrix");
    auto shared = std::make_shared<Call>(call);
    return standin_enqueue(stream, [shared] { return run(*shared); }) == 0 ? SUCCESS : EXECUTION_FAILED;
}
