"""Training on several processes: not in this build. Programs that ask are told so, and go on alone."""

__all__ = ["is_available", "is_initialized", "get_rank", "get_world_size", "init_process_group", "ReduceOp"]


def is_available():
    return False


def is_initialized():
    return False


def is_nccl_available():
    return False


is_gloo_available = is_mpi_available = is_ucc_available = is_xccl_available = is_nccl_available


def is_torchelastic_launched():
    return False


def is_backend_available(backend):
    return False


class ReduceOp:
    """How values of several processes are combined."""

    SUM, PRODUCT, MIN, MAX, BAND, BOR, BXOR, AVG, PREMUL_SUM = range(9)


class ProcessGroup:
    """A set of processes that work together."""


class Work:
    """A communication under way."""


class GroupMember:
    """Which group this process is in."""

    WORLD = None
    NON_GROUP_MEMBER = -100


class Backend(str):
    """The name of a communication library."""

    UNDEFINED, GLOO, NCCL, UCC, MPI = "undefined", "gloo", "nccl", "ucc", "mpi"


class group:
    """Older name of the default group."""

    WORLD = None


class DistError(RuntimeError):
    """An error of communication."""


DistBackendError = DistNetworkError = DistStoreError = DistError


def _unavailable(name):
    def function(*args, **kwargs):
        raise RuntimeError(f"torch.distributed.{name}: this build of tiny_torch runs in one process")

    function.__name__ = function.__qualname__ = name
    return function


def _uninitialized(name):
    def function(*args, **kwargs):
        raise ValueError("Default process group has not been initialized, please make sure to call init_process_group.")

    function.__name__ = function.__qualname__ = name
    return function


get_rank = _uninitialized("get_rank")
get_world_size = _uninitialized("get_world_size")
get_backend = _uninitialized("get_backend")
destroy_process_group = _uninitialized("destroy_process_group")

_OPERATIONS = (
    "init_process_group new_group barrier monitored_barrier broadcast all_reduce reduce all_gather all_gather_into_tensor "
    "all_gather_object gather gather_object scatter scatter_object_list reduce_scatter reduce_scatter_tensor all_to_all "
    "all_to_all_single send recv isend irecv batch_isend_irecv broadcast_object_list new_subgroups init_device_mesh P2POp "
    "TCPStore FileStore HashStore PrefixStore Store get_group_rank get_global_rank get_process_group_ranks "
    "get_default_backend_for_device split_group all_reduce_coalesced"
)
for _name in _OPERATIONS.split():
    globals()[_name] = _unavailable(_name)
