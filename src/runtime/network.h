/* What the network between the ranks does at most, measured: messages of pairs, and gmf_exchange as training uses it.
 */
#ifndef GMF_RUNTIME_NETWORK_H
#define GMF_RUNTIME_NETWORK_H

#include "runtime/exchange.h"

/* The same on all ranks. All ranks send and receive at once. */
typedef struct gmf_network {
  double latency;            /* seconds of a message of 8 bytes there while another comes: the slowest pairing */
  double pair_bandwidth;     /* bytes a second that a rank receives while it sends as many: the slowest pairing */
  double exchange_latency;   /* seconds of a gmf_exchange of a row between all */
  double exchange_bandwidth; /* bytes a second that a rank receives from the others in a gmf_exchange of many rows */
} gmf_network;

/* Collective. Takes about `seconds`. One rank alone has no network: all is 0. */
gmf_status gmf_network_measure(const gmf_grid *grid, double seconds, gmf_network *out, gmf_error *err);

#endif
