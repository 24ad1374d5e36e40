/* release.h: what differs between the releases of the mlx5 driver that the stand-in knows, in one place. */
#ifndef STANDIN_RELEASE_H
#define STANDIN_RELEASE_H

#include <rte_version.h>

#define RELEASE_IS(year, month)       (RTE_VER_YEAR == (year) && RTE_VER_MONTH == (month))
#define RELEASE_AT_LEAST(year, month) (RTE_VERSION >= RTE_VERSION_NUM(year, month, 0, 0))

#if !RELEASE_IS(22, 11) && !RELEASE_IS(25, 11)
#error "the stand-in knows the mlx5 drivers of DPDK 22.11 and 25.11 only"
#endif

/* The number that the libraries of a release end in: it changes each November. */
#define RELEASE_ABI (RTE_VER_YEAR + (RTE_VER_MONTH >= 11))

#if RELEASE_AT_LEAST(25, 11)
#define RELEASE_RDMA_DEVICE , struct mlx5_dev_info *device /* where the driver keeps what netlink told it */
#define RELEASE_NO_MPESW    .mpesw_owner = -1,
#define RTC_STE_FORMAT      ste_format_0
#define RTC_MATCH_DEFINER   match_definer_0
#define STE_NEXT            rsvd2[2] /* the word of an entry that holds where it jumps to */
#else
#define RELEASE_RDMA_DEVICE
#define RELEASE_NO_MPESW
#define RTC_STE_FORMAT    ste_format
#define RTC_MATCH_DEFINER match_definer_id
#define STE_NEXT          rsvd1[3]
#endif

#endif /* STANDIN_RELEASE_H */
