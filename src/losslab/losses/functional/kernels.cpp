// Losses of float32 and bfloat16 tensors on the CPU: the reduced value and, where it is wanted, its
// gradient, in one pass over memory, or two for losses of sums. Python compiles this file
// (kernels.py) and calls it on raw pointers; the definitions next to each loss, plain tensor
// operations, say what is computed here.
//
// Sums are kept in float within a block and in double beyond it. The blocks depend neither on the
// number of threads nor on the processor, so that results do not depend on the threads.

#include <algorithm>
#include <atomic>
#include <cfloat>
#include <cmath>
#include <cstdint>
#include <functional>
#include <thread>
#include <type_traits>
#include <vector>

namespace {

constexpr long BLOCK = 1024;         // elements per sum in float
constexpr long CHUNK = 128 * BLOCK;  // elements per turn of a thread
constexpr int64_t NONE = INT64_MIN;  // ignores no class index
constexpr long LANES = 64;           // positions whose classes are processed together

// --- numbers -----------------------------------------------------------------------------------

struct bfloat16 {
  uint16_t bits;
};

inline float load(float x) { return x; }
inline float load(bfloat16 x) { return __builtin_bit_cast(float, uint32_t(x.bits) << 16); }

inline void store(float& to, float x) { to = x; }
inline void store(bfloat16& to, float x) {  // to the nearest, ties to even
  uint32_t bits = __builtin_bit_cast(uint32_t, x);
  uint32_t rounded = (bits + 0x7fff + ((bits >> 16) & 1)) >> 16;
  to.bits = uint16_t(x == x ? rounded : 0x7fc0);
}

// e^x for x <= 0, 0 where the result would be subnormal; error below 2 units in the last place
inline float exp_negative(float x) {
  float bounded = x < -87.0f ? -87.0f : x;
  float power = std::nearbyint(bounded * 1.44269504f);
  float r = bounded - power * 0.693359375f + power * 2.12194440e-4f;  // log 2 in two parts
  float tail = 1.9875691500e-4f;  // coefficients of Cephes' expf
  tail = tail * r + 1.3981999507e-3f;
  tail = tail * r + 8.3334519073e-3f;
  tail = tail * r + 4.1665795894e-2f;
  tail = tail * r + 1.6666665459e-1f;
  tail = tail * r + 5.0000001201e-1f;
  float scale = __builtin_bit_cast(float, (int32_t(power) + 127) << 23);
  float result = (tail * r * r + r + 1.0f) * scale;
  return x < -87.0f ? 0.0f : result;
}

// log((1 + t) / (1 - t)) for |t| <= 1/3, by its series
inline float twice_atanh(float t) {
  float q = t * t, tail = 1.0f / 17;
  tail = tail * q + 1.0f / 15;
  tail = tail * q + 1.0f / 13;
  tail = tail * q + 1.0f / 11;
  tail = tail * q + 1.0f / 9;
  tail = tail * q + 1.0f / 7;
  tail = tail * q + 1.0f / 5;
  tail = tail * q + 1.0f / 3;
  return 2 * (t + t * q * tail);
}

inline float log1p_unit(float x) { return twice_atanh(x / (2 + x)); }  // x from 0 to 1

inline float log_normal(float x) {  // x >= 1 and finite, or not a number
  int32_t bits = __builtin_bit_cast(int32_t, x);
  int32_t power = (bits - 0x3f3504f3) >> 23;  // so that the rest is from sqrt(1/2) to sqrt(2)
  float rest = __builtin_bit_cast(float, bits - (power << 23));
  float log = twice_atanh((rest - 1) / (rest + 1)) + power * 0.69314718f;
  return x == x ? log : x;
}

// --- work --------------------------------------------------------------------------------------

// work(0) to work(count - 1), divided among threads
void in_parallel(long count, long threads, const std::function<void(long)>& work) {
  std::atomic<long> next{0};
  auto turns = [&] {
    for (long turn; (turn = next++) < count;) work(turn);
  };
  std::vector<std::thread> others;
  for (long k = 1; k < std::min(threads, count); ++k) others.emplace_back(turns);
  turns();
  for (auto& thread : others) thread.join();
}

inline long ceiling(long a, long b) { return (a + b - 1) / b; }

// --- losses of single elements -----------------------------------------------------------------

struct Sides {
  float p, q;          // sigmoid(z) and sigmoid(-z), each accurate when it is small
  float nll_p, nll_q;  // -log p and -log q
};

inline Sides sides(float z) {
  float small = exp_negative(-std::fabs(z)), larger = 1 / (1 + small), smaller = small * larger;
  float rest = log1p_unit(small);
  bool positive = z > 0;
  return {positive ? larger : smaller, positive ? smaller : larger,
          (positive ? 0 : -z) + rest, (positive ? z : 0) + rest};
}

struct Point {
  float loss, slope;  // the slope by the first argument
};

// binary_focal; POWER is gamma if that is 0, 1 or 2, else 3
template <int POWER>
struct Focal {
  float gamma, positive, negative;

  float power(float probability, float nll) const {
    if (POWER == 0) return 1;
    if (POWER == 1) return probability;
    if (POWER == 2) return probability * probability;
    return exp_negative(-gamma * nll);
  }
  // the slope of power(q) * nll by -z
  float steepness(float p, float q, float power_q, float nll) const {
    if (POWER == 0) return q;
    return power_q * (q + gamma * std::min(nll, 1e30f) * p);  // p is 0 where the nll is infinite
  }
  Point operator()(float z, float t) const {
    Sides s = sides(z);
    float of_positive = positive * t, of_negative = negative * (1 - t);
    float power_q = power(s.q, s.nll_q), power_p = power(s.p, s.nll_p);
    float first = of_positive * (power_q * s.nll_p), second = of_negative * (power_p * s.nll_q);
    // a side without a share costs nothing, even if it is infinite
    return {(of_positive == 0 ? 0 : first) + (of_negative == 0 ? 0 : second),
            of_negative * steepness(s.q, s.p, power_p, s.nll_q) -
                of_positive * steepness(s.p, s.q, power_q, s.nll_p)};
  }
};

template <bool SQUARED>
struct Hinge {
  float margin;
  Point operator()(float z, float t) const {
    float side = t > 0 ? 1.0f : -1.0f, away = margin - side * z;
    float hinge = away < 0 ? 0 : away;
    if (SQUARED) return {hinge * hinge, -side * 2 * hinge};
    return {hinge, hinge > 0 ? -side : 0.0f};
  }
};

struct Squared {
  Point operator()(float z, float t) const { return {(z - t) * (z - t), 2 * (z - t)}; }
};

struct Absolute {
  Point operator()(float z, float t) const {
    return {std::fabs(z - t), float(z > t) - float(z < t)};
  }
};

struct Huber {
  float delta;
  Point operator()(float z, float t) const {
    float d = z - t, bounded = d > delta ? delta : (d < -delta ? -delta : d);
    return {bounded * (d - bounded / 2), bounded};
  }
};

// the sum of the losses, and the slopes times a factor where they are wanted
template <bool WANTED, class Element, class T>
double sum_of(Element element, long count, const T* logits, const T* targets, float factor, T* slopes) {
  double total = 0;
  for (long start = 0; start < count; start += BLOCK) {
    long end = std::min(start + BLOCK, count);
    float part = 0;
#pragma omp simd reduction(+ : part)
    for (long i = start; i < end; ++i) {
      Point at = element(load(logits[i]), load(targets[i]));
      part += at.loss;
      if (WANTED) store(slopes[i], factor * at.slope);
    }
    total += part;
  }
  return total;
}

struct Batch {
  long count, threads;
  const void *logits, *targets;
};

// calls action with the element of this loss and these options
template <class Action>
void with_element(int loss, float a, float b, float c, Action action) {
  switch (loss) {
    case 0:
      if (a == 0) return action(Focal<0>{a, b, c});
      if (a == 1) return action(Focal<1>{a, b, c});
      if (a == 2) return action(Focal<2>{a, b, c});
      return action(Focal<3>{a, b, c});
    case 1:
      return b ? action(Hinge<true>{a}) : action(Hinge<false>{a});
    case 2:
      return action(Squared{});
    case 3:
      return action(Absolute{});
    default:
      return action(Huber{a});
  }
}

template <class T>
float reduced_elements(const Batch& batch, int loss, float a, float b, float c, double divisor,
                       void* slopes) {
  const T *logits = static_cast<const T*>(batch.logits), *targets = static_cast<const T*>(batch.targets);
  T* to = static_cast<T*>(slopes);
  float factor = float(1 / divisor);
  std::vector<double> parts(ceiling(batch.count, CHUNK));
  with_element(loss, a, b, c, [&](auto element) {
    in_parallel(long(parts.size()), batch.threads, [&](long k) {
      long start = k * CHUNK, count = std::min(CHUNK, batch.count - start);
      parts[k] = to ? sum_of<true>(element, count, logits + start, targets + start, factor, to + start)
                    : sum_of<false>(element, count, logits + start, targets + start, factor, to);
    });
  });
  double total = 0;
  for (double part : parts) total += part;
  return float(total / divisor);
}

// --- overlap of regions ------------------------------------------------------------------------

}  // namespace

// Options of a loss E / (O + E + smooth) to the power of exponent, with
// E = fp_weight FP + fn_weight FN + errors_weight errors and O = tp_weight TP.
struct Overlap {
  double fp_weight, fn_weight, errors_weight, tp_weight, smooth, exponent;
  int count_images;  // whether the mean divides by images instead of regions
  int squared;       // whether errors and level are of squares
  int per_image;     // whether each image has regions of its own
  int skip;          // whether regions without foreground are left out
  int mean;          // whether to divide
  int first_class;   // those before are no regions
};

// Shape of the pixels, (images, classes, pixels), and the steps between them in memory.
struct Pixels {
  long images, classes, pixels;
  long image_step, class_step, pixel_step;
  int half;
  long threads;
};

namespace {

// sums over the pixels of a region, as in segmentation.py; also the slopes of a loss by them
struct Sums {
  double counted = 0, tp = 0, fp = 0, fn = 0, errors = 0, level = 0;

  void operator+=(const Sums& other) {
    counted += other.counted;
    tp += other.tp;
    fp += other.fp;
    fn += other.fn;
    errors += other.errors;
    level += other.level;
  }
};

struct Slopes {
  float tp, fp, fn, errors, level;
};

// x^exponent, and 0 with slope 0 where the slope of x^exponent may be infinite
void raise(double exponent, double& value, double& slope) {
  slope = 1;
  if (exponent == 1) return;
  bool vanishes = value < FLT_MIN;
  slope = vanishes ? 0 : exponent * std::pow(value, exponent - 1);
  value = vanishes ? 0 : std::pow(value, exponent);
}

// the loss of one region, and its slopes
double region_loss(const Overlap& o, const Sums& sums, Sums& slopes) {
  slopes = Sums();
  double value, slope;
  if (sums.tp == 0 && sums.fn == 0) {  // no foreground
    if (o.skip) return 0;
    double pixels = std::max(sums.counted, 1.0);
    value = sums.level / pixels;
    raise(o.exponent, value, slope);
    slopes.level = slope / pixels;
    return value;
  }
  double errors = o.fp_weight * sums.fp + o.fn_weight * sums.fn + o.errors_weight * sums.errors;
  double rest = o.tp_weight * sums.tp + o.smooth, whole = rest + errors;
  value = errors / whole;
  raise(o.exponent, value, slope);
  double by_errors = slope * rest / (whole * whole);
  slopes.tp = -slope * o.tp_weight * errors / (whole * whole);
  slopes.fp = o.fp_weight * by_errors;
  slopes.fn = o.fn_weight * by_errors;
  slopes.errors = o.errors_weight * by_errors;
  return value;
}

// the sum or mean over the regions, what the mean divides by, and the slopes
std::vector<Slopes> reduce_regions(const Overlap& o, long classes, const std::vector<Sums>& regions,
                                   const float* weights, float* value, float* count) {
  long images = classes == 0 ? 0 : long(regions.size()) / classes;
  std::vector<Sums> own(regions.size());
  double total = 0, counted = 0;
  for (long image = 0; image < images; ++image) {
    bool any = false;
    for (long k = o.first_class; k < classes; ++k) {
      long region = image * classes + k;
      const Sums& sums = regions[region];
      double weight = weights ? weights[k] : 1;
      total += weight * region_loss(o, sums, own[region]);
      bool included = sums.counted > 0 && !(o.skip && sums.tp == 0 && sums.fn == 0);
      if (included && !o.count_images) counted += weight;
      any = any || included;
    }
    if (any && o.count_images) counted += 1;
  }
  double divisor = o.mean && counted > 0 ? counted : 1;
  *value = float(total / divisor);
  *count = float(counted);
  std::vector<Slopes> slopes(regions.size());
  for (size_t region = 0; region < regions.size(); ++region) {
    long k = long(region) % classes;
    double factor = (weights ? weights[k] : 1) / divisor;
    const Sums& one = own[region];
    slopes[region] = {float(one.tp * factor), float(one.fp * factor), float(one.fn * factor),
                      float(one.errors * factor), float(one.level * factor)};
  }
  return slopes;
}

// adds up the sums of chunks of images to those of regions
std::vector<Sums> by_region(const Overlap& o, const Pixels& shape, long chunks,
                            const std::vector<Sums>& parts) {
  std::vector<Sums> regions((o.per_image ? shape.images : 1) * shape.classes);
  for (long image = 0; image < shape.images; ++image)
    for (long k = 0; k < shape.classes; ++k)
      for (long chunk = 0; chunk < chunks; ++chunk) {
        long region = (o.per_image ? image : 0) * shape.classes + k;
        regions[region] += parts[(image * chunks + chunk) * shape.classes + k];
      }
  return regions;
}

struct Probability {
  float p, q;  // both accurate when they are small
};

inline Probability sigmoid(float z) {
  float small = exp_negative(-std::fabs(z)), larger = 1 / (1 + small), smaller = small * larger;
  float positive = z > 0, other = 1 - positive;  // sums are vectorized more often than branches
  return {positive * larger + other * smaller, positive * smaller + other * larger};
}

// Whether sums of masks leave p q in the room for the slopes, which are then a product: that of
// losses without squares needs no other probability, and bfloat16 would round it.
template <bool SQUARED, class T>
constexpr bool LEAVES = !SQUARED && std::is_same_v<T, float>;

template <bool SQUARED, bool IGNORES, bool LEAVE, class T>
Sums mask_sums(long count, const T* logits, const T* targets, const uint8_t* counted, T* left) {
  Sums sums;
  for (long start = 0; start < count; start += BLOCK) {
    long end = std::min(start + BLOCK, count);
    float tp = 0, fp = 0, fn = 0, errors = 0, level = 0, pixels = 0;
#pragma omp simd reduction(+ : tp, fp, fn, errors, level, pixels)
    for (long i = start; i < end; ++i) {
      bool keep = !IGNORES || counted[i];
      float t = keep ? load(targets[i]) : 0;
      Probability one = sigmoid(keep ? load(logits[i]) : 0);
      float alarm = keep ? one.p * (1 - t) : 0, miss = one.q * t;
      tp += one.p * t;
      fp += alarm;
      fn += miss;
      if (SQUARED) {
        errors += (alarm - miss) * (alarm - miss);
        level += keep ? one.p * one.p : 0;
      }
      if (IGNORES) pixels += keep;
      if (LEAVE) store(left[i], one.p * one.q);
    }
    Sums part;
    part.counted = IGNORES ? pixels : end - start;
    part.tp = tp, part.fp = fp, part.fn = fn;
    part.errors = SQUARED ? errors : double(fp) + fn;
    part.level = SQUARED ? level : double(tp) + fp;
    sums += part;
  }
  return sums;
}

// where it is inlined, gcc 12 does not vectorize it
template <bool SQUARED, bool IGNORES, class T>
[[gnu::noinline]] void mask_slopes(long count, const T* logits, const T* targets,
                                   const uint8_t* counted, const Slopes& by, T* slopes) {
  // the slope by p of a pixel with target t, for SQUARED without the squares
  float positive = by.tp - by.fn - (SQUARED ? 0 : by.errors) + (SQUARED ? 0 : by.level);
  float negative = by.fp + (SQUARED ? 0 : by.errors + by.level);
  float errors = 2 * by.errors, level = 2 * by.level;
#pragma omp simd
  for (long i = 0; i < count; ++i) {
    float t = load(targets[i]), by_p = t * positive + (1 - t) * negative, slope;
    if constexpr (LEAVES<SQUARED, T>) {
      slope = by_p * slopes[i];
    } else {
      Probability one = sigmoid(load(logits[i]));
      if (SQUARED) by_p += errors * (one.p * (1 - t) - one.q * t) + level * one.p;
      slope = by_p * one.p * one.q;
    }
    store(slopes[i], !IGNORES || counted[i] ? slope : 0.0f);
  }
}

// calls action with two conditions as types
template <class Action>
auto with_flags(bool first, bool second, Action action) {
  using std::false_type, std::true_type;
  if (first) return second ? action(true_type(), true_type()) : action(true_type(), false_type());
  return second ? action(false_type(), true_type()) : action(false_type(), false_type());
}

// work(row, start, count) over chunks of the rows, one per image and mask, in several threads
template <class Work>
void over_masks(const Pixels& shape, Work work) {
  long chunks = ceiling(shape.pixels, CHUNK);
  in_parallel(shape.images * shape.classes * chunks, shape.threads, [&](long turn) {
    long row = turn / chunks, start = turn % chunks * CHUNK;
    work(row, start, std::min(CHUNK, shape.pixels - start));
  });
}

template <class T>
std::vector<Sums> sums_of_masks(const Overlap& o, const Pixels& shape, const T* z, const T* t,
                                const uint8_t* counted, T* slopes) {
  long chunks = ceiling(shape.pixels, CHUNK);
  std::vector<Sums> parts(shape.images * shape.classes * chunks);
  over_masks(shape, [&](long row, long start, long count) {
    long at = row * shape.pixels + start;
    const uint8_t* kept = counted ? counted + at : nullptr;
    long image = row / shape.classes, k = row % shape.classes, chunk = start / CHUNK;
    Sums& part = parts[(image * chunks + chunk) * shape.classes + k];
    part = with_flags(o.squared, counted, [&](auto squared, auto ignores) {
      constexpr bool leaves = LEAVES<squared.value, T>;
      auto sums = slopes ? mask_sums<squared.value, ignores.value, leaves, T>
                         : mask_sums<squared.value, ignores.value, false, T>;
      return sums(count, z + at, t + at, kept, slopes ? slopes + at : nullptr);
    });
  });
  return by_region(o, shape, chunks, parts);
}

template <class T>
void slopes_of_masks(const Overlap& o, const Pixels& shape, const T* z, const T* t,
                     const uint8_t* counted, const std::vector<Slopes>& by, T* slopes) {
  over_masks(shape, [&](long row, long start, long count) {
    long at = row * shape.pixels + start;
    const uint8_t* kept = counted ? counted + at : nullptr;
    const Slopes& region = by[o.per_image ? row : row % shape.classes];
    with_flags(o.squared, counted, [&](auto squared, auto ignores) {
      mask_slopes<squared.value, ignores.value>(count, z + at, t + at, kept, region, slopes + at);
    });
  });
}

// --- losses of classes -------------------------------------------------------------------------

// The logits of LANES positions, class by class, with their targets. Positions that do not count,
// or beyond the last one, have target -1 and logits 0.
struct Lanes {
  long classes;
  std::vector<float> values;  // (classes, LANES)
  int32_t target[LANES];
  bool outside = false;  // whether a target was none of the classes

  explicit Lanes(long classes) : classes(classes), values(classes * LANES) {}

  float* of(long k) { return values.data() + k * LANES; }

  template <class T>
  void read(const T* logits, const int64_t* indices, const uint8_t* counted, int64_t ignored,
            long count, long class_step, long pixel_step) {
    bool all = true;
    for (long i = 0; i < LANES; ++i) {
      bool counts = i < count && (!counted || counted[i]) && indices[i] != ignored;
      int64_t index = counts ? indices[i] : -1;
      outside |= counts && (index < 0 || index >= classes);
      target[i] = int32_t(index);
      all &= counts;
    }
    for (long k = 0; k < classes; ++k) {
      const T* from = logits + k * class_step;
      float* to = of(k);
      if (count == LANES && pixel_step == 1)
        for (long i = 0; i < LANES; ++i) to[i] = load(from[i]);
      else
        for (long i = 0; i < LANES; ++i) to[i] = i < count ? load(from[i * pixel_step]) : 0;
      if (!all)
        for (long i = 0; i < LANES; ++i) to[i] = target[i] < 0 ? 0 : to[i];
    }
  }

  template <class T>
  void write(T* slopes, long count, long class_step, long pixel_step) {
    for (long k = 0; k < classes; ++k) {
      T* to = slopes + k * class_step;
      const float* from = of(k);
      if (pixel_step == 1)
        for (long i = 0; i < count; ++i) store(to[i], from[i]);
      else
        for (long i = 0; i < count; ++i) store(to[i * pixel_step], from[i]);
    }
  }

  // the sums of the values of other classes than the target
  void others(float* rest) {
    for (long i = 0; i < LANES; ++i) rest[i] = 0;
    for (long k = 0; k < classes; ++k) {
      const float* value = of(k);
#pragma omp simd
      for (long i = 0; i < LANES; ++i) rest[i] += target[i] == int32_t(k) ? 0 : value[i];
    }
  }

  // values to softmax probabilities, and the sums of those of other classes than the target
  void softmax(float* rest) {
    float top[LANES], total[LANES];
    for (long i = 0; i < LANES; ++i) top[i] = -FLT_MAX, total[i] = 0, rest[i] = 0;
    for (long k = 0; k < classes; ++k) {
      const float* value = of(k);
#pragma omp simd
      for (long i = 0; i < LANES; ++i) top[i] = top[i] < value[i] ? value[i] : top[i];
    }
    for (long k = 0; k < classes; ++k) {
      float* value = of(k);
#pragma omp simd
      for (long i = 0; i < LANES; ++i) {
        value[i] = exp_negative(value[i] - top[i]);
        total[i] += value[i];
        rest[i] += target[i] == int32_t(k) ? 0 : value[i];
      }
    }
    // positions that do not count have probability 0
    for (long i = 0; i < LANES; ++i) total[i] = target[i] < 0 ? 0 : 1 / total[i];
    for (long i = 0; i < LANES; ++i) rest[i] *= total[i];
    for (long k = 0; k < classes; ++k) {
      float* value = of(k);
#pragma omp simd
      for (long i = 0; i < LANES; ++i) value[i] *= total[i];
    }
  }
};

// work(lanes, position, count, image, chunk) over the positions of each image, in several threads
template <class Work>
void over_positions(const Pixels& shape, Work work) {
  long chunks = ceiling(shape.pixels, CHUNK / 8);
  in_parallel(shape.images * chunks, shape.threads, [&](long turn) {
    long image = turn / chunks, chunk = turn % chunks;
    long end = std::min((chunk + 1) * (CHUNK / 8), shape.pixels);
    Lanes lanes(shape.classes);
    for (long start = chunk * (CHUNK / 8); start < end; start += LANES)
      work(lanes, start, std::min(LANES, end - start), image, chunk);
  });
}

// reads the lanes from a position on
template <class T>
void read(Lanes& lanes, const Pixels& shape, const T* logits, const int64_t* indices,
          const uint8_t* counted, int64_t ignored, long image, long start, long count) {
  long at = image * shape.pixels + start;
  lanes.read(logits + image * shape.image_step + start * shape.pixel_step, indices + at,
             counted ? counted + at : nullptr, ignored, count, shape.class_step, shape.pixel_step);
}

// writes the lanes from a position on
template <class T>
void write(Lanes& lanes, const Pixels& shape, T* slopes, long image, long start, long count) {
  T* to = slopes + image * shape.image_step + start * shape.pixel_step;
  lanes.write(to, count, shape.class_step, shape.pixel_step);
}

// sums over lanes of one class, given its probabilities
template <bool SQUARED>
Sums class_sums(const float* p, const float* rest, const int32_t* target, int32_t k) {
  float tp = 0, fp = 0, fn = 0, errors = 0, level = 0;
#pragma omp simd reduction(+ : tp, fp, fn, errors, level)
  for (long i = 0; i < LANES; ++i) {
    bool own = target[i] == k;
    tp += own ? p[i] : 0;
    fp += own ? 0 : p[i];
    fn += own ? rest[i] : 0;
    float error = own ? rest[i] : p[i];
    if (SQUARED) errors += error * error;
    if (SQUARED) level += p[i] * p[i];
  }
  Sums sums;
  sums.tp = tp, sums.fp = fp, sums.fn = fn;
  sums.errors = SQUARED ? errors : double(fp) + fn;
  sums.level = SQUARED ? level : double(tp) + fp;
  return sums;
}

// leaves the probabilities in the room for slopes that are not rounded
template <class T>
std::vector<Sums> sums_of_classes(const Overlap& o, const Pixels& shape, const T* logits,
                                  const int64_t* indices, const uint8_t* counted, T* slopes,
                                  bool& outside) {
  long chunks = ceiling(shape.pixels, CHUNK / 8), classes = shape.classes;
  std::vector<Sums> parts(shape.images * chunks * classes);
  std::atomic<bool> found{false};
  over_positions(shape, [&](Lanes& lanes, long start, long count, long image, long chunk) {
    read(lanes, shape, logits, indices, counted, NONE, image, start, count);
    if (lanes.outside) found = true;
    float rest[LANES], pixels = 0;
    lanes.softmax(rest);
    if (std::is_same_v<T, float> && slopes) write(lanes, shape, slopes, image, start, count);
    for (long i = 0; i < LANES; ++i) pixels += lanes.target[i] >= 0;
    for (long k = 0; k < classes; ++k) {
      const float* p = lanes.of(k);
      parts[(image * chunks + chunk) * classes + k] +=
          o.squared ? class_sums<true>(p, rest, lanes.target, int32_t(k))
                    : class_sums<false>(p, rest, lanes.target, int32_t(k));
      parts[(image * chunks + chunk) * classes + k].counted += pixels;
    }
  });
  outside = found;
  return by_region(o, shape, chunks, parts);
}

template <class T>
void slopes_of_classes(const Overlap& o, const Pixels& shape, const T* logits,
                       const int64_t* indices, const uint8_t* counted,
                       const std::vector<Slopes>& by, T* slopes) {
  constexpr bool left = std::is_same_v<T, float>;
  const T* from = left ? slopes : logits;
  over_positions(shape, [&](Lanes& lanes, long start, long count, long image, long) {
    read(lanes, shape, from, indices, counted, NONE, image, start, count);
    const Slopes* region = &by[o.per_image ? image * shape.classes : 0];
    float rest[LANES], own_slope[LANES], mean[LANES];
    left ? lanes.others(rest) : lanes.softmax(rest);
    // the slope by the probability of another class than the target
    auto other = [&](const Slopes& r, float p) {
      return o.squared ? r.fp + 2 * (r.errors + r.level) * p : r.fp + r.errors + r.level;
    };
    for (long i = 0; i < LANES; ++i) own_slope[i] = mean[i] = 0;
    for (long k = 0; k < shape.classes; ++k) {
      const Slopes r = region[k];
      const float* p = lanes.of(k);
#pragma omp simd
      for (long i = 0; i < LANES; ++i) {
        float slope = o.squared ? r.tp - r.fn + 2 * (r.level * p[i] - r.errors * rest[i])
                                : r.tp - r.fn - r.errors + r.level;
        own_slope[i] = lanes.target[i] == int32_t(k) ? slope : own_slope[i];
      }
    }
    // relative to the slope by the target's own probability, so that nothing cancels where it is 1
    for (long k = 0; k < shape.classes; ++k) {
      const Slopes r = region[k];
      const float* p = lanes.of(k);
#pragma omp simd
      for (long i = 0; i < LANES; ++i)
        mean[i] += lanes.target[i] == int32_t(k) ? 0 : p[i] * (other(r, p[i]) - own_slope[i]);
    }
    for (long k = 0; k < shape.classes; ++k) {
      const Slopes r = region[k];
      float* p = lanes.of(k);
#pragma omp simd
      for (long i = 0; i < LANES; ++i) {
        float relative = lanes.target[i] == int32_t(k) ? 0 : other(r, p[i]) - own_slope[i];
        p[i] *= relative - mean[i];
      }
    }
    write(lanes, shape, slopes, image, start, count);
  });
}

// values to exponentials of other classes than the target; score is the logit of the target less
// the logsumexp of the others, total the sum of the exponentials
inline void rivals(Lanes& lanes, float* score, float* total) {
  float own[LANES], top[LANES];
  for (long i = 0; i < LANES; ++i) top[i] = -FLT_MAX, total[i] = 0, own[i] = 0;
  for (long k = 0; k < lanes.classes; ++k) {
    float* value = lanes.of(k);
#pragma omp simd
    for (long i = 0; i < LANES; ++i) {
      bool is_own = lanes.target[i] == int32_t(k);
      own[i] = is_own ? value[i] : own[i];
      value[i] = value[i] < -FLT_MAX ? -FLT_MAX : value[i];
      top[i] = !is_own && top[i] < value[i] ? value[i] : top[i];
    }
  }
  for (long k = 0; k < lanes.classes; ++k) {
    float* value = lanes.of(k);
#pragma omp simd
    for (long i = 0; i < LANES; ++i) {
      // an infinite logit is as large as the largest
      float relative = value[i] == top[i] ? 0 : value[i] - top[i];
      value[i] = lanes.target[i] == int32_t(k) ? 0 : exp_negative(relative);
      total[i] += value[i];
    }
  }
#pragma omp simd
  for (long i = 0; i < LANES; ++i) score[i] = own[i] - (top[i] + log_normal(total[i]));
}

// Options of softmax_focal, or of cross-entropy if gamma is 0.
struct ClassOptions {
  const float* weights;  // of the classes, or none
  float gamma;
  int64_t ignored;  // class index that is ignored
  bool weighted;    // whether to count targets by weight

  float weight(int32_t target) const { return target < 0 ? 0 : (weights ? weights[target] : 1); }
};

// what the mean divides by, and whether a target is none of the classes
double count_targets(const ClassOptions& o, const Pixels& shape, const int64_t* indices, bool& outside) {
  double count = 0;
  for (long i = 0; i < shape.images * shape.pixels; ++i) {
    if (indices[i] == o.ignored) continue;
    if (indices[i] < 0 || indices[i] >= shape.classes) return outside = true, 0;
    count += o.weighted ? o.weight(int32_t(indices[i])) : 1;
  }
  return count;
}

// the sum of the losses, and the slopes times a factor where they are wanted
template <int POWER, class T>
double focal_of_classes(const ClassOptions& o, const Pixels& shape, const T* logits,
                        const int64_t* indices, float factor, T* slopes) {
  long chunks = ceiling(shape.pixels, CHUNK / 8);
  std::vector<double> parts(shape.images * chunks);
  const Focal<POWER> focal{o.gamma, 1, 1};
  over_positions(shape, [&](Lanes& lanes, long start, long count, long image, long chunk) {
    read(lanes, shape, logits, indices, nullptr, o.ignored, image, start, count);
    float score[LANES], total[LANES], weight[LANES], sum = 0;
    rivals(lanes, score, total);
    for (long i = 0; i < LANES; ++i) weight[i] = o.weight(lanes.target[i]);
    const Focal<POWER> own = focal;  // known to be unchanged in the loop
#pragma omp simd reduction(+ : sum)
    for (long i = 0; i < LANES; ++i) {
      Point at = own(score[i], 1);
      sum += weight[i] == 0 ? 0 : weight[i] * at.loss;
      score[i] = weight[i] == 0 ? 0 : factor * weight[i] * at.slope;
      total[i] = weight[i] == 0 ? 0 : -score[i] / total[i];
    }
    parts[image * chunks + chunk] += sum;
    if (!slopes) return;
    for (long k = 0; k < shape.classes; ++k) {
      float* value = lanes.of(k);
#pragma omp simd
      for (long i = 0; i < LANES; ++i)
        value[i] = lanes.target[i] == int32_t(k) ? score[i] : total[i] * value[i];
    }
    write(lanes, shape, slopes, image, start, count);
  });
  double sum = 0;
  for (double part : parts) sum += part;
  return sum;
}

// calls action with gamma if that is 0, 1 or 2, else 3, as a type
template <class Action>
auto with_power(float gamma, Action action) {
  if (gamma == 0) return action(std::integral_constant<int, 0>());
  if (gamma == 1) return action(std::integral_constant<int, 1>());
  if (gamma == 2) return action(std::integral_constant<int, 2>());
  return action(std::integral_constant<int, 3>());
}

// --- transport ---------------------------------------------------------------------------------

constexpr long SPAN = 32;       // points whose exponents are summed or left out together
constexpr float FAR = 25;       // exponents this far below the largest are lost in a sum in float
constexpr float NEVER = 1e30f;  // cost of points that only fill a span

inline long padded(long count) { return ceiling(count, SPAN) * SPAN; }

struct Cloud {
  long count, axes;
  const float* at;             // one row per point
  std::vector<float> columns;  // one row per axis, padded

  Cloud(long count, long axes, const float* at)
      : count(count), axes(axes), at(at), columns(axes * padded(count)) {
    for (long a = 0; a < axes; ++a)
      for (long j = 0; j < count; ++j) columns[a * padded(count) + j] = at[j * axes + a];
  }
  const float* column(long a) const { return &columns[a * padded(count)]; }
};

// Points that are transported to others, or the other way round, with their potentials.
class Side {
 public:
  const Cloud &ours, &theirs;
  std::vector<float> potentials;  // padded

  Side(const Cloud& ours, const Cloud& theirs, int p)
      : ours(ours), theirs(theirs), potentials(padded(ours.count)), width(padded(theirs.count)), p(p),
        costs(ours.count * width), renewed(potentials.size()), peaks(width / SPAN), pulls(width) {
    for (long i = 0; i < ours.count; ++i) fill_costs(i);
  }

  // a Sinkhorn step, to be accepted when the other side has made its own
  void renew(const float* others, float epsilon, float rate, float momentum) {
    for (long i = 0; i < ours.count; ++i) {
      float now = potentials[i], before = renewed[i];
      renewed[i] = now + rate * (soft_minimum(i, others, epsilon) - now) + momentum * (now - before);
    }
  }
  void accept() { potentials.swap(renewed); }

  // -epsilon log mean_j exp((h_j - C_ij) / epsilon)
  float soft_minimum(long i, const float* h, float epsilon) {
    float top = find_peaks(i, h), inverse = 1 / epsilon, sum = 0;
    const float* cost = &costs[i * width];
    for (long start = 0; start < width; start += SPAN) {
      if ((peaks[start / SPAN] - top) * inverse < -FAR) continue;
#pragma omp simd reduction(+ : sum)
      for (long j = start; j < start + SPAN; ++j)
        sum += exp_negative((h[j] - cost[j] - top) * inverse);
    }
    return -(top + epsilon * std::log(sum / theirs.count));
  }

  // adds factor times the gradient of a soft minimum, given its value, by point i
  void add_slope(long i, const float* h, float epsilon, float value, float factor, float* slope) {
    const float* cost = &costs[i * width];
    float inverse = 1 / epsilon, level = epsilon * std::log(float(theirs.count)) - value;
#pragma omp simd
    for (long j = 0; j < width; ++j) {
      float weight = exp_negative(std::min((h[j] - cost[j] - level) * inverse, 0.0f));
      pulls[j] = factor * weight * (p == 2 ? 2.0f : (cost[j] > 0 ? 1 / cost[j] : 0.0f));
    }
    for (long a = 0; a < ours.axes; ++a) {
      const float* to = theirs.column(a);
      float from = ours.at[i * ours.axes + a], sum = 0;
#pragma omp simd reduction(+ : sum)
      for (long j = 0; j < width; ++j) sum += pulls[j] * (from - to[j]);
      slope[a] += sum;
    }
  }

 private:
  long width;
  int p;
  std::vector<float> costs, renewed, peaks, pulls;

  void fill_costs(long i) {
    float* cost = &costs[i * width];
    for (long a = 0; a < ours.axes; ++a) {
      const float* to = theirs.column(a);
      float from = ours.at[i * ours.axes + a];
#pragma omp simd
      for (long j = 0; j < width; ++j) cost[j] += (from - to[j]) * (from - to[j]);
    }
    if (p == 1)
#pragma omp simd
      for (long j = 0; j < width; ++j) cost[j] = std::sqrt(cost[j]);
    std::fill(cost + theirs.count, cost + width, NEVER);
  }

  // the largest h_j - C_ij of each span, and of all
  float find_peaks(long i, const float* h) {
    const float* cost = &costs[i * width];
    float top = -FLT_MAX;
    for (long start = 0; start < width; start += SPAN) {
      float peak = -FLT_MAX;
#pragma omp simd reduction(max : peak)
      for (long j = start; j < start + SPAN; ++j) {
        float each = h[j] - cost[j];
        peak = peak > each ? peak : each;
      }
      peaks[start / SPAN] = peak;
      top = top > peak ? top : peak;
    }
    return top;
  }
};

struct Annealing {
  int p;
  long steps;
  double blur;
  float rate, momentum;

  float epsilon(long step) const { return float(std::pow(blur, double(p * step) / steps)); }

  void anneal(Side& one, Side& other) const {
    bool alone = &one == &other;
    for (long step = 0; step <= steps; ++step) {
      one.renew(other.potentials.data(), epsilon(step), rate, momentum);
      if (!alone) other.renew(one.potentials.data(), epsilon(step), rate, momentum);
      one.accept();
      if (!alone) other.accept();
    }
  }

  // the mean soft minimum of a side; adds factor times its gradient by the points, if there is room
  double value(Side& side, const Side& other, float factor = 0, float* slopes = nullptr) const {
    float last = epsilon(steps);
    const float* h = other.potentials.data();
    double total = 0;
    for (long i = 0; i < side.ours.count; ++i) {
      float each = side.soft_minimum(i, h, last);
      total += each;
      if (slopes)
        side.add_slope(i, h, last, each, factor / side.ours.count, slopes + i * side.ours.axes);
    }
    return total / side.ours.count;
  }
};

// The Sinkhorn divergence of two clouds, and its gradient by the points of the first. All transport
// problems use the same operations, so that identical clouds give exactly 0.
float divergence(const Annealing& how, const Cloud& x, const Cloud& y, float* slopes) {
  std::fill(slopes, slopes + x.count * x.axes, 0.0f);
  Side forth(x, y, how.p), back(y, x, how.p);
  how.anneal(forth, back);
  double there = how.value(forth, back, 1, slopes), again = how.value(back, forth);
  Side of_x(x, x, how.p), of_y(y, y, how.p);
  how.anneal(of_x, of_x);
  how.anneal(of_y, of_y);
  return float((there - how.value(of_x, of_x, -1, slopes)) + (again - how.value(of_y, of_y)));
}

}  // namespace

// All functions return 0 if all went well, and take pointers to tensors last.

// The sum of the losses of all elements, divided by the divisor, and its slopes if there is room;
// half says whether the tensors are bfloat16, and loss is a number of fused.py.
extern "C" int elements(long count, long threads, int half, int loss, double divisor, float a,
                        float b, float c, const void* logits, const void* targets, float* value,
                        void* slopes) {
  Batch batch{count, threads, logits, targets};
  auto reduced = half ? reduced_elements<bfloat16> : reduced_elements<float>;
  *value = reduced(batch, loss, a, b, c, divisor, slopes);
  return 0;
}

// The reduced loss of masks, what a mean divides by, and the slopes if there is room.
extern "C" int masks(const Overlap* o, const Pixels* shape, const void* logits, const void* targets,
                     const uint8_t* counted, const float* weights, float* value, float* count,
                     void* slopes) {
  auto compute = [&](auto* to) {
    using T = std::remove_reference_t<decltype(*to)>;
    const T *z = static_cast<const T*>(logits), *t = static_cast<const T*>(targets);
    auto regions = sums_of_masks(*o, *shape, z, t, counted, to);
    auto by = reduce_regions(*o, shape->classes, regions, weights, value, count);
    if (to) slopes_of_masks(*o, *shape, z, t, counted, by, to);
  };
  shape->half ? compute(static_cast<bfloat16*>(slopes)) : compute(static_cast<float*>(slopes));
  return 0;
}

// The same for classes; returns whether a target is none of the classes.
extern "C" int classes(const Overlap* o, const Pixels* shape, const void* logits,
                       const int64_t* indices, const uint8_t* counted, const float* weights,
                       float* value, float* count, void* slopes) {
  bool outside = false;
  auto compute = [&](auto* to) {
    using T = std::remove_reference_t<decltype(*to)>;
    const T* z = static_cast<const T*>(logits);
    auto regions = sums_of_classes(*o, *shape, z, indices, counted, to, outside);
    auto by = reduce_regions(*o, shape->classes, regions, weights, value, count);
    if (to && !outside) slopes_of_classes(*o, *shape, z, indices, counted, by, to);
  };
  shape->half ? compute(static_cast<bfloat16*>(slopes)) : compute(static_cast<float*>(slopes));
  return outside;
}

// The sum or mean of softmax_focal, and its slopes if there is room; returns whether a target is
// none of the classes.
extern "C" int class_focal(const Pixels* shape, float gamma, int64_t ignored, int mean,
                           int weighted, const void* logits, const int64_t* indices,
                           const float* weights, float* value, void* slopes) {
  ClassOptions o{weights, gamma, ignored, weighted != 0};
  bool outside = false;
  double count = count_targets(o, *shape, indices, outside);
  if (outside) return 1;
  double divisor = mean && count > 0 ? count : 1;
  auto compute = [&](auto* to) {
    using T = std::remove_reference_t<decltype(*to)>;
    const T* z = static_cast<const T*>(logits);
    double sum = with_power(gamma, [&](auto power) {
      return focal_of_classes<power.value>(o, *shape, z, indices, float(1 / divisor), to);
    });
    *value = float(sum / divisor);
  };
  shape->half ? compute(static_cast<bfloat16*>(slopes)) : compute(static_cast<float*>(slopes));
  return 0;
}

// The Sinkhorn divergences of pairs of clouds, which are in rows of one number per axis, and their
// gradients by the points of the first.
extern "C" int sinkhorn(long clouds, long ours, long theirs, long axes, long threads, int p,
                        long steps, double blur, float rate, float momentum, const float* x,
                        const float* y, float* values, float* slopes) {
  Annealing how{p, steps, blur, rate, momentum};
  in_parallel(clouds, threads, [&](long n) {
    Cloud first(ours, axes, x + n * ours * axes), second(theirs, axes, y + n * theirs * axes);
    values[n] = divergence(how, first, second, slopes + n * ours * axes);
  });
  return 0;
}
