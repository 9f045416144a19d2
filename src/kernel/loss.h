/*
 * The losses as weights of the normal equations. Every row x of every model solves
 *
 *   (s G + sum_j w_j y_j y_j' + lambda I) x = sum_j t_j y_j            j over the stored ratings r_j of the row,
 *
 * and the objective is, up to regularisation, sum_j [w_j yhat_j^2 - 2 t_j yhat_j + c_j] + s x'Gx with G = Y'Y of the
 * other side. v is the rating's weight, 1 where the dataset has none; [r > 0] is 1 or 0.
 *
 *   loss      w              t                     c      s        whose
 *   squared   v              v r                   v r^2  0        explicit ratings: v (r - yhat)^2
 *   hkv       alpha |v r|    [r > 0] (1 + alpha v r)  t   1        Hu, Koren, Volinsky, ICDM 2008, and Spark
 *   implicit  alpha |v r|-1  [r > 0] alpha v r        t   1        benfred/implicit
 *   ials      v [r != 0]     [r > 0] v                t   alpha0   Rendle et al., RecSys 2021
 *
 * hkv: confidence 1 + alpha |r|, preference [r > 0]; implicit: confidence alpha |r|; ials: (1 - yhat)^2 over what was
 * observed, alpha0 yhat^2 over all pairs.
 *
 * r < 0 is a confident dislike: weight without preference. w < 0, which `implicit` allows, may leave a row's matrix
 * indefinite.
 *
 * On binary data hkv(alpha, lambda) and ials(alpha0 = 1 / alpha, lambda / (1 + alpha)) have the same minimizers up to a
 * common factor, and so the same rankings.
 */
#ifndef GMF_KERNEL_LOSS_H
#define GMF_KERNEL_LOSS_H

#include <math.h>
#include <stdbool.h>
#include <stdint.h>

typedef enum gmf_loss_kind { GMF_LOSS_SQUARED, GMF_LOSS_HKV, GMF_LOSS_IMPLICIT, GMF_LOSS_IALS } gmf_loss_kind;

typedef struct gmf_loss {
  gmf_loss_kind kind;
  float alpha;  /* of hkv and implicit */
  float alpha0; /* of ials */
} gmf_loss;

/* s: the weight of every pair, stored or not. Above 0 the system holds the Gram matrix of the whole other side. */
static inline double gmf_loss_shared(gmf_loss loss)
{
  return loss.kind == GMF_LOSS_SQUARED ? 0 : loss.kind == GMF_LOSS_IALS ? (double)loss.alpha0 : 1;
}

/* w of a rating r of weight v. */
static inline float gmf_loss_weight(gmf_loss loss, float r, float v)
{
  switch (loss.kind) {
    case GMF_LOSS_HKV: return loss.alpha * fabsf(v * r);
    case GMF_LOSS_IMPLICIT: return loss.alpha * fabsf(v * r) - 1.0f;
    case GMF_LOSS_IALS: return r != 0 ? v : 0.0f;
    default: return v;
  }
}

/* t of the same. */
static inline float gmf_loss_target(gmf_loss loss, float r, float v)
{
  if (loss.kind == GMF_LOSS_SQUARED) return v * r;
  if (!(r > 0)) return 0.0f;
  return loss.kind == GMF_LOSS_IALS ? v : loss.alpha * v * r + (loss.kind == GMF_LOSS_HKV ? 1.0f : 0.0f);
}

/* c: what the rating adds to the objective at yhat = 0. */
static inline double gmf_loss_constant(gmf_loss loss, float r, float v)
{
  double t = (double)gmf_loss_target(loss, r, v);
  return loss.kind == GMF_LOSS_SQUARED ? t * (double)r : t;
}

/* What lambda is multiplied by in a row of n ratings whose other side has N rows: 1, n^nu or (n + s N)^nu. `count` at
 * nu = 1 is ALS-WR (Zhou et al., AAIM 2008) and Spark; `ials` is Rendle et al., RecSys 2021. */
typedef enum gmf_lambda_scale { GMF_LAMBDA_NONE, GMF_LAMBDA_COUNT, GMF_LAMBDA_IALS } gmf_lambda_scale;

typedef struct gmf_regularisation {
  double lambda;      /* of factors */
  double lambda_bias; /* of biases */
  gmf_lambda_scale scale;
  double exponent; /* nu */
} gmf_regularisation;

static inline double gmf_lambda_factor(gmf_regularisation reg, gmf_loss loss, int64_t n, int64_t n_other)
{
  if (reg.scale == GMF_LAMBDA_NONE) return 1;
  double base = (double)n + (reg.scale == GMF_LAMBDA_IALS ? gmf_loss_shared(loss) * (double)n_other : 0);
  return reg.exponent == 1 ? base : pow(base, reg.exponent);
}

#endif
