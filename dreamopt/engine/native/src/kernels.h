// All kernels as one piece: each file here is compiled once for each kind of processor (avx512.cpp, avx2.cpp, any.cpp).
#pragma once

#include "adam.h"
#include "average.h"
#include "checks.h"
#include "colours.h"
#include "common.h"
#include "dft.h"
#include "eltwise.h"
#include "few_channels.h"
#include "gemm.h"
#include "lrn.h"
#include "moves.h"
#include "pointwise.h"
#include "pooling.h"
#include "random.h"
#include "winograd.h"
