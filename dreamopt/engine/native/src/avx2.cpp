#define DREAMOPT_LANES 8
#include "kernels.h"
