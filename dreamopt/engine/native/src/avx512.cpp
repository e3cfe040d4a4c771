#define DREAMOPT_LANES 16
#include "kernels.h"
