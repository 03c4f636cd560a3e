// Put before the source of every module that is compiled for the stand-in.
#pragma once
#include "qualifiers.h"
#include "checks.h"
#include "vectors.h"
#include "functions.h"
#include "atomics.h"
#include "warp.h"
#include "mma.h"
