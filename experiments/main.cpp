#include "experiments/program.h"

int main(int argc, char** argv) {
  return namm::experiments::run_program(argc, argv);
}
