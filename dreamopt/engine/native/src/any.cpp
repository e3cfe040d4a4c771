#define DREAMOPT_LANES 4
#include "kernels.h"
