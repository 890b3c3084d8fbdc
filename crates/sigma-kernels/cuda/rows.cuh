// What has become of a row of texts that are being written; sigma-model's RowState has the same numbers.
#pragma once

#define ROW_RUNNING 0u
#define ROW_AT_EOS 1u
#define ROW_FULL 2u
#define ROW_WITHOUT_DISTRIBUTION 3u
#define ROW_IDLE 4u
