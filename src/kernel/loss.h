/*
 * The losses as weights of the normal equations. Every row x of every model solves
 *
 *   (s G + sum_j w(r_j) y_j y_j' + lambda I) x = sum_j t(r_j) y_j           j over the stored ratings of the row,
 *
 * and the objective is, up to regularisation, sum_j [w yhat^2 - 2 t yhat + c] + s x'Gx with G = Y'Y of the other side.
 *
 *   squared  w = 1           t = r                        c = r^2    s = 0    explicit ratings (als)
 *   hkv      w = alpha |r|   t = 1 + alpha r, 0 if r <= 0  c = t      s = 1    Hu, Koren, Volinsky, ICDM 2008:
 *            confidence 1 + alpha |r|, preference 1 for r > 0, else 0
 */
#ifndef GMF_KERNEL_LOSS_H
#define GMF_KERNEL_LOSS_H

#include <math.h>
#include <stdbool.h>

typedef enum gmf_loss_kind { GMF_LOSS_SQUARED, GMF_LOSS_HKV } gmf_loss_kind;

typedef struct gmf_loss {
  gmf_loss_kind kind;
  float alpha; /* of hkv */
} gmf_loss;

/* Whether all pairs count, not only the stored ones: the system then holds the Gram matrix of the whole other side. */
static inline bool gmf_loss_has_gram(gmf_loss loss) { return loss.kind != GMF_LOSS_SQUARED; }

static inline float gmf_loss_weight(gmf_loss loss, float r)
{
  return loss.kind == GMF_LOSS_SQUARED ? 1.0f : loss.alpha * fabsf(r);
}

static inline float gmf_loss_target(gmf_loss loss, float r)
{
  if (loss.kind == GMF_LOSS_SQUARED) return r;
  return r > 0 ? 1.0f + loss.alpha * r : 0.0f;
}

/* What the rating adds to the objective at yhat = 0. */
static inline double gmf_loss_constant(gmf_loss loss, float r)
{
  double t = (double)gmf_loss_target(loss, r);
  return loss.kind == GMF_LOSS_SQUARED ? t * t : t;
}

#endif
